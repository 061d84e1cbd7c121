"""The door: bytes become a record of known types, or a named reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relift.records import FinishReason
from relift.teacher.endpoint import Endpoint
from relift.teacher.failure import BadReply, Fault
from relift.teacher.reply import Complaint, complaint_in, models_in, read_reply


def body(message: dict[str, Any], finish_reason: object = "stop", **more: object) -> bytes:
    return json.dumps({"choices": [{"message": message, "finish_reason": finish_reason}], **more}).encode()


def test_200_000_brackets_are_a_reason_and_no_recursion() -> None:
    for content in (b"[" * 200_000, b'{"choices": ' + b"[" * 200_000, b'{"usage": ' + b'{"a":' * 200_000):
        with pytest.raises(BadReply, match="recursion limit exceeded"):
            read_reply(content)


def test_parts_that_are_text_are_the_content_and_parts_that_are_thought_the_reasoning() -> None:
    mistral = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Forty "}, {"type": "text", "text": "times six."}]},
        {"type": "text", "text": "It is "},
        {"type": "text", "text": "282."},
    ]
    reply = read_reply(body({"content": mistral}))
    assert (reply.content, reply.reasoning) == ("It is 282.", "Forty times six.")
    others = [{"type": "thinking", "thinking": "First."}, {"type": "reasoning", "text": "Then."}]
    reply = read_reply(body({"content": [*others, {"type": "text", "text": "So."}]}))
    assert (reply.content, reply.reasoning) == ("So.", "First.\n\nThen.")


@pytest.mark.parametrize("content", [None, [], ""])
def test_an_answer_without_content_is_an_empty_one(content: object) -> None:
    assert read_reply(body({"content": content})).content == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([{"type": "image_url", "image_url": {}}], "message.content.0: Input tag 'image_url'"),
        ([{"type": "refusal", "refusal": "no"}], "message.content.0: Input tag 'refusal'"),
        ([{"type": "thinking", "thinking": [{"type": "x"}]}], "content.0.thinking.thinking.0.type"),
        ({"type": "text", "text": "x"}, "message.content: Input should be a valid string"),
        (7, "message.content: Input should be a valid string"),
        (True, "message.content: Input should be a valid string"),
    ],
)
def test_a_content_of_another_kind_is_refused_by_its_name(content: object, said: str) -> None:
    with pytest.raises(BadReply) as refused:
        read_reply(body({"content": content}))
    assert said in str(refused.value)


@pytest.mark.parametrize("name", ["stop", "STOP", "end_turn", "eos", "eos_token", "stop_sequence", "COMPLETE"])
def test_a_natural_end_has_these_names(name: str) -> None:
    assert read_reply(body({"content": "x"}, name)).finish_reason is FinishReason.STOP


@pytest.mark.parametrize("name", ["length", "max_tokens", "MAX_TOKENS", "model_length", "max_output_tokens"])
def test_running_out_of_tokens_has_these(name: str) -> None:
    assert read_reply(body({"content": "x"}, name)).finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("name", [None, "", "tool_calls", "function_call", "error", "unknown", "SAFETY", "stopped"])
def test_no_other_name_is_an_end(name: str | None) -> None:
    with pytest.raises(BadReply, match="not known to be finished: its finish_reason is") as refused:
        read_reply(body({"content": "x"}, name))
    assert refused.value.fault is Fault.UNFINISHED


def test_a_choice_that_failed_says_why() -> None:
    choice = {"message": {"content": ""}, "finish_reason": "error", "error": {"message": "upstream fell over"}}
    with pytest.raises(BadReply, match=r"'error'.*the server says: upstream fell over"):
        read_reply(json.dumps({"choices": [choice]}).encode())


@pytest.mark.parametrize(
    ("count", "read"),
    [(20, 20), (0, 0), (-5, -5), (20.0, None), ("20", None), (True, None), (None, None), ([20], None)],
)
def test_a_count_is_a_whole_number_or_none_at_all(count: object, read: int | None) -> None:
    reply = read_reply(body({"content": "x"}, usage={"prompt_tokens": count, "completion_tokens": count}))
    assert (reply.input_tokens, reply.output_tokens) == (read, read)


COMPLAINTS = [
    (b'{"error": {"message": "no", "param": "temperature", "code": 429}}', Complaint("no", "temperature", 429)),
    (b'{"error": {"message": "no", "code": "rate_limit", "param": null}}', Complaint("no")),
    (b'{"error": {"message": "no", "code": true}}', Complaint("no")),
    (b'{"error": "no"}', Complaint("no")),
    (b'{"object": "error", "message": "no"}', Complaint("no")),
    (b'{"detail": "no"}', Complaint("no")),
    (b'{"error": {"why": [1]}}', Complaint("an error with why")),
    (b"no", Complaint("no")),
    (b"", Complaint("")),
    (b"\xff" + b"[" * 100_000, Complaint("\ufffd" + "[" * 4095)),
]


@pytest.mark.parametrize(("content", "found"), COMPLAINTS)
def test_a_server_complains_in_one_of_these_fields(content: bytes, found: Complaint) -> None:
    assert complaint_in(content) == found


def test_an_error_that_came_with_200_is_told_with_the_status_that_it_names() -> None:
    with pytest.raises(BadReply, match="the server says: slow down") as refused:
        read_reply(b'{"error": {"message": "slow down", "code": 429}}')
    assert refused.value.status == 429


def test_a_list_of_models_is_their_names_and_anything_else_is_none() -> None:
    assert models_in(b'{"data": [{"id": "a", "object": "model"}, {"id": "b"}]}') == ["a", "b"]
    for content in (b"[]", b'{"data": [{"id": 7}]}', b'{"data": {"id": "a"}}', b"[" * 200_000, b""):
        assert models_in(content) == []


def test_a_servers_words_are_shown_without_the_key_on_one_line_and_not_for_ever() -> None:
    endpoint = Endpoint("http://a/v1", "sk-123")
    assert endpoint.redacted("a\x1b[2J\nb sk-123 \u202e\ud800") == r"a\x1b[2J\nb [key] \u202e\ud800"
    for words in ("x" * 1000, "\x00" * 1000, "x" * 296 + "sk-123"):
        said = endpoint.redacted(words)
        assert len(said) <= 300 and said.endswith("...") and "sk-" not in said


@pytest.mark.parametrize(
    ("base", "asked"),
    [
        ("https://h/v1", "https://h/v1/chat/completions"),
        ("https://h/v1/", "https://h/v1/chat/completions"),
        ("http://h:8000", "http://h:8000/chat/completions"),
        ("https://h/x?api-version=3", "https://h/x/chat/completions?api-version=3"),
    ],
)
def test_a_path_is_put_below_the_base_and_a_query_stays_one(base: str, asked: str) -> None:
    assert Endpoint(base, None).at("chat/completions") == asked
