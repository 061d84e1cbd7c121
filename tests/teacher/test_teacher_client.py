"""The teacher is asked once whether it is there, and its key is never repeated."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from email.utils import formatdate

import pytest

from relift.config.recipe import load_recipe
from relift.errors import ConfigError, TeacherError
from relift.records import FinishReason, Question, TeacherAnswer, question_id
from relift.teacher.client import ApiClient
from relift.teacher.endpoint import endpoint_of
from relift.teacher.failure import AttemptFailed, Fault
from relift.teacher.prompt import as_the_student_writes, joined, requests_for
from relift.teacher.refusals import seconds_to_wait
from tests.teacher.conftest import api_config
from tests.teacher.faulty_server import KEY, PROMPT_TOKENS, FaultyServer, Script

QUESTION = Question(id=question_id("47*6?"), text="47*6?", answer="282", source="test")
Serve = Callable[..., FaultyServer]


def checked(client: ApiClient, left_usd: float | None = None) -> str | None:
    """As the start of a run does it."""
    request = requests_for(QUESTION, client.config, form="equals", max_tokens=48)[0]
    return client.check(request, left_usd=left_usd)


async def completed(client: ApiClient, question: Question = QUESTION) -> TeacherAnswer:
    try:
        return await client.complete(requests_for(question, client.config, form="equals", max_tokens=48)[0])
    finally:
        await client.close()


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("models", [("scripted",), ("another",), (), None])
def test_at_the_start_a_question_is_asked_just_as_the_run_will_ask(
    serve: Serve, models: tuple[str, ...] | None
) -> None:
    server = serve(models=models)
    config = api_config(server.url, token_parameter="max_completion_tokens", temperature=0.3, instruction="Be brief.")
    client = ApiClient(config)
    assert checked(client) is None
    (asked,) = server.checks
    assert asked["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION.text},
    ]
    assert (asked["max_completion_tokens"], asked["temperature"]) == (48, 0.3)
    assert "max_tokens" not in asked
    asyncio.run(completed(client))
    assert server.bodies == [asked]  # nothing about it is for the start alone
    assert checked(ApiClient(api_config(server.url, temperature=None))) is None
    assert "temperature" not in server.checks[1]


REFUSALS = [
    (
        (400, "Unsupported parameter: 'max_tokens' is not supported with this model."),
        "Set teacher.api.token_parameter=max_completion_tokens",
    ),
    (
        (400, "Unsupported value: 'temperature' does not support 0.7 with this model."),
        "Set teacher.api.temperature=off",
    ),
    ((422, "temperature: less than or equal to 0.5"), "Set teacher.api.temperature=off"),
    ((400, "there is no such model"), "knows no model 'scripted'.*It has: scripted"),
    ((400, "max_tokens is too large: 48. It may be 32."), "Set teacher.api.max_tokens below 48"),
    ((400, "This model's maximum context length is 40 tokens."), "Set teacher.api.max_tokens below 48"),
    ((400, "Conversation roles must alternate user/assistant"), 'Set teacher.api.instruction=""'),
    ((400, "System role not supported"), 'Set teacher.api.instruction=""'),
    ((400, "not today"), r"\(max_tokens=48, temperature=0.7\): .*not today.*Correct teacher.api"),
    ((402, "no credit"), "HTTP 402: .*no credit.*Top up the account"),
    ((403, "not for you"), r"refused the key from OPENAI_API_KEY \(HTTP 403\)"),
]


@pytest.mark.parametrize(("refusal", "message"), REFUSALS)
def test_what_a_teacher_refuses_is_said_at_the_start_with_the_setting_to_change(
    serve: Serve, refusal: tuple[int, str], message: str
) -> None:
    server = serve(refuse=lambda body: refusal)
    with pytest.raises(TeacherError, match=message):
        checked(ApiClient(api_config(server.url, required=False)))
    assert server.refused == 1


def test_a_model_that_reasons_longer_than_the_question_at_the_start_allows_is_there(serve: Serve) -> None:
    said = "Could not finish the message because max_tokens or model output limit was reached."
    assert checked(ApiClient(api_config(serve(refuse=lambda body: (400, said)).url))) is None


ENDS = [("tool_calls", "its finish_reason is 'tool_calls'"), (None, "its finish_reason is none")]


@pytest.mark.parametrize(("end", "message"), ENDS)
def test_a_teacher_whose_answers_never_come_to_an_end_that_is_known_is_refused_at_the_start(
    serve: Serve, end: str | None, message: str
) -> None:
    with pytest.raises(TeacherError, match=f"not known to be finished: {message}"):
        checked(ApiClient(api_config(serve(end=end).url, required=False)))


@pytest.mark.parametrize("end", ["length", "content_filter"])
def test_a_first_question_that_was_cut_or_withheld_is_no_reason_not_to_begin(serve: Serve, end: str) -> None:
    assert checked(ApiClient(api_config(serve(end=end).url))) is None


PRICES = {"usd_per_million_input": 1.0, "usd_per_million_output": 10.0}


def test_what_the_question_at_the_start_costs_is_counted(serve: Serve) -> None:
    client = ApiClient(api_config(serve().url, **PRICES))
    checked(client)
    assert client.opening is not None
    assert (client.opening.sent, client.opening.unanswered_usd) == (1, 0.0)
    assert client.opening.answered_usd == pytest.approx((PROMPT_TOKENS + 10 * 1) / 1e6)

    unfinished = ApiClient(api_config(serve(end="tool_calls").url, **PRICES))
    with pytest.raises(TeacherError):
        checked(unfinished)
    assert unfinished.opening is not None
    assert unfinished.opening.unanswered_usd == unfinished.most_usd(unfinished.opening.request)


def test_a_question_that_the_budget_has_no_room_for_is_not_asked_and_the_models_must_do(serve: Serve) -> None:
    server = serve()
    client = ApiClient(api_config(server.url, **PRICES))
    request = requests_for(QUESTION, client.config, form="equals", max_tokens=48)[0]
    assert checked(client, left_usd=0.99 * client.most_usd(request)) is None
    assert (server.checks, client.opening) == ([], None)
    assert checked(client, left_usd=client.most_usd(request)) is None
    assert len(server.checks) == 1


def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "nonsense://x")
    with pytest.raises(TeacherError, match=r"the proxy that the environment names.*Correct HTTP_PROXY"):
        checked(ApiClient(api_config("http://127.0.0.1:9/v1")))


def test_a_missing_key_is_said_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(TeacherError, match=r"OPENAI_API_KEY is not set.*http://127.0.0.1:1/v1.*key_variable=off"):
        ApiClient(api_config("http://127.0.0.1:1/v1"))
    assert ApiClient(api_config("http://127.0.0.1:1/v1", key_variable="off")).config.key_variable is None


def test_a_wrong_key_is_refused_without_being_repeated_even_by_a_server_that_does(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-wrong-777777")
    server = serve()
    with pytest.raises(TeacherError, match="refused the key from MY_KEY") as refused:
        checked(ApiClient(api_config(server.url, key_variable="MY_KEY", required=False)))
    assert "[key]" in str(refused.value)
    seen: list[object] = [refused.value]
    while seen[-1] is not None:  # neither the message nor anything it was raised from
        problem = seen[-1]
        assert isinstance(problem, BaseException)
        assert "777777" not in f"{problem!r} {problem.args} {vars(problem)}"
        seen.append(problem.__cause__)


def test_an_unknown_model_is_named_with_those_that_the_server_has(serve: Serve) -> None:
    server = serve()
    with pytest.raises(TeacherError, match=r"knows no model 'absent'.*It has: scripted"):
        checked(ApiClient(api_config(server.url, model="absent", required=False)))


def test_an_address_where_nothing_listens_is_an_error_or_a_warning_as_the_recipe_says() -> None:
    url = f"http://127.0.0.1:{unused_port()}/v1"
    with pytest.raises(TeacherError, match=r"does not answer: connection failed.*teacher.api.required=false"):
        checked(ApiClient(api_config(url)))
    trouble = checked(ApiClient(api_config(url, required=False)))
    assert trouble is not None
    assert url in trouble


MALFORMED = [
    ("127.0.0.1:8000", "does not begin with http://"),
    ("ftp://a/b", "does not begin with http://"),
    ("http://localhost:port/v1", "a host or a port that cannot be read"),
    ("http://localhost:99999/v1", "a host or a port that cannot be read"),
    ("http://[::1/v1", "a host or a port that cannot be read"),
    ("http:///v1", "names no host"),
    ("http://:8000/v1", "names no host"),
    ("http://local host/v1", "holds a blank"),
]


@pytest.mark.parametrize(("url", "message"), MALFORMED)
def test_an_address_that_is_no_web_address_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, url: str, message: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(TeacherError, match=f"OPENAI_BASE_URL.*{message}") as refused:
        endpoint_of(api_config("http://unused").model_copy(update={"base_url": None}))
    assert url not in str(refused.value)


def test_an_address_that_only_the_http_client_finds_fault_with_is_one_message_too() -> None:
    with pytest.raises(TeacherError, match="has no usable base URL"):
        checked(ApiClient(api_config("http://[v1.x]/v1")))


def test_what_may_be_secret_in_an_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://user:hidden@host/v1?token=hidden")
    endpoint = endpoint_of(api_config("http://unused").model_copy(update={"base_url": None}))
    assert endpoint.shown == "https://host/v1"
    assert "hidden" not in repr(endpoint)
    assert KEY not in repr(endpoint)


SETTINGS = [
    (["teacher.sources=['api']"], "belong together"),
    (["teacher.api.model=m"], "belong together"),
    (["teacher.sources=['dataset','dataset']"], "names one twice"),
    (["teacher.sources=[]"], "at least 1"),
    (["teacher.api.model=m", "teacher.sources=['api']", "teacher.api.budget_usd=1"], "never binds"),
    (["teacher.api.model=m", "teacher.sources=['api']", "teacher.api.temperature=0"], "are equal"),
    (["teacher.api.model=m", "teacher.sources=['api']", "teacher.api.prompt=solve"], "has no {question}"),
    (["teacher.api.model=m", "teacher.sources=['api']", "teacher.api.usd_per_million_input=inf"], "finite number"),
    (["teacher.api.model=m", "teacher.sources=['api']", "teacher.api.max_tokens=10000000000"], "less than or equal"),
    (["teacher.api.model=m", "teacher.sources=['api']", "teacher.api.base_url='https://u:p@h/v1'"], "without user"),
]


@pytest.mark.parametrize(("settings", "message"), SETTINGS)
def test_settings_that_would_be_ignored_or_cannot_work_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe("demo", settings)


def test_a_key_in_place_of_its_variables_name_is_refused_without_being_repeated() -> None:
    with pytest.raises(ConfigError, match="name of an environment variable") as refused:
        load_recipe("demo", ["teacher.api.model=m", "teacher.sources=['api']", "teacher.api.key_variable=sk-abc-123"])
    assert "abc" not in str(refused.value)


def outcome_of(server: FaultyServer, **more: object) -> AttemptFailed:
    with pytest.raises(AttemptFailed) as failed:
        asyncio.run(completed(ApiClient(api_config(server.url, **more))))
    return failed.value


@pytest.mark.parametrize(
    ("script", "message", "may_be_billed"),
    [
        (Script(too_many=1), "HTTP 429", False),
        (Script(broken=1), "HTTP 500", False),
        (Script(slow=1), "no answer within 1 s", True),
        (Script(torn=1), "connection failed", True),
    ],
)
def test_each_fault_says_what_it_means_for_the_next_try_and_for_the_bill(
    serve: Serve, script: Script, message: str, may_be_billed: bool
) -> None:
    failure = outcome_of(serve(script))
    assert message in str(failure)
    assert (failure.fault, failure.may_be_billed) == (Fault.PASSING, may_be_billed)
    assert failure.retry_after == (0.05 if script.too_many else None)


@pytest.mark.parametrize(
    ("status", "fault"),
    [(400, Fault.REQUEST), (413, Fault.REQUEST), (401, Fault.TEACHER), (402, Fault.TEACHER), (404, Fault.TEACHER)],
)
def test_a_refusal_is_of_the_request_or_of_every_request(serve: Serve, status: int, fault: Fault) -> None:
    failure = outcome_of(serve(refuse=lambda body: (status, "no")))
    assert (failure.fault, failure.may_be_billed, failure.retry_after) == (fault, False, None)
    assert f"HTTP {status}" in str(failure)


def test_retry_after_is_read_as_seconds_milliseconds_or_a_date() -> None:
    assert seconds_to_wait({"retry-after": "7"}) == 7
    assert seconds_to_wait({"retry-after": "9", "retry-after-ms": "250"}) == 0.25
    found = seconds_to_wait({"retry-after": formatdate(time.time() + 60, usegmt=True)})
    assert found is not None
    assert 58 < found <= 60
    for useless in ({}, {"retry-after": "soon"}, {"retry-after": "-3"}, {"retry-after": "inf"}):
        assert seconds_to_wait(useless) is None


def test_equal_questions_have_equal_keys_whatever_may_change_and_candidates_have_their_own() -> None:
    config = api_config("http://a", candidates=3)
    keys = [r.key for r in requests_for(QUESTION, config, form="equals", max_tokens=48)]
    assert len(set(keys)) == 3
    elsewhere = api_config("http://b", candidates=2, concurrency=1, requests_per_minute=3)
    assert [r.key for r in requests_for(QUESTION, elsewhere, form="equals", max_tokens=48)] == keys[:2]
    warmer = api_config("http://a", temperature=0.9)
    assert requests_for(QUESTION, warmer, form="equals", max_tokens=48)[0].key not in keys


def test_the_prompt_asks_for_the_answer_where_the_student_writes_it() -> None:
    config = api_config("http://a").model_copy(update={"instruction": None, "prompt": "{question} {x}"})
    request = requests_for(QUESTION, config, form="boxed", max_tokens=48)[0]
    assert r"\\boxed{}" in request.prompt
    assert "47*6? {x}" in request.prompt


def test_reasoning_is_kept_for_a_student_that_reasons_and_left_out_for_one_that_does_not() -> None:
    whole = joined("So 282.", "47*6 is 240+42")
    assert whole == "<think>\n47*6 is 240+42\n</think>\n\nSo 282."
    assert as_the_student_writes(whole, thinks=True) == whole
    assert as_the_student_writes(whole, thinks=False) == "So 282."
    assert joined("So 282.", None) == joined("So 282.", " ") == "So 282."
    assert joined(whole, "thoughts of another kind") == whole  # one reasoning is enough


def test_a_student_that_reasons_asks_for_the_reasoning_where_the_recipe_says_nothing_else() -> None:
    config = api_config("http://a").model_copy(update={"instruction": None})
    thinking, plain = (
        requests_for(QUESTION, config, form="boxed", max_tokens=48, thinks=thinks)[0] for thinks in (True, False)
    )
    assert "between <think> and </think>" in thinking.prompt and r"\\boxed{}" in thinking.prompt
    assert "think>" not in plain.prompt
    assert thinking.key != plain.key
    own = config.model_copy(update={"instruction": "Be brief."})
    assert "think>" not in requests_for(QUESTION, own, form="boxed", max_tokens=48, thinks=True)[0].prompt


def test_a_solution_that_was_cut_says_so(serve: Serve, questions: list[Question]) -> None:
    client = ApiClient(api_config(serve(Script(cut=1)).url))
    assert asyncio.run(completed(client, questions[0])).finish_reason is FinishReason.LENGTH
