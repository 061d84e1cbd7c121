"""Text and ids with real kinds of tokenizers: solutions go on from the prompt, and data makes no control token."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from relift.config import PolicyConfig
from relift.policy.student import Student, make_student
from relift.records import Question, Turn
from tests.models.families import FAMILIES, MISTRAL, QWEN3_THINKING, metaspace, qwen

QUESTION = Question(id="q", text="What is 6*7?", answer="42", source="test")
SOLUTIONS = ("The answer is 42.", "42", " a blank before", "\n\nnew lines", "é ✓ 数 \\frac{1}{2}", "a  b\t c \n")


def student(name_or_tokenizer: Any, **settings: Any) -> Student:
    if isinstance(name_or_tokenizer, str):
        family = FAMILIES[name_or_tokenizer]
        settings = {"chat_template_kwargs": dict(family.kwargs), **settings}
        name_or_tokenizer = family.build()
    config = PolicyConfig(model="m", **settings)
    return make_student(name_or_tokenizer, SimpleNamespace(max_position_embeddings=4096), None, config)


def raw(student: Student, ids: Any) -> str:
    return student.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("text", SOLUTIONS)
def test_a_solution_stands_after_the_prompt_as_it_is_and_ends_with_the_turn(name: str, text: str) -> None:
    one = student(name)
    prompt, ids = one.prompt(QUESTION).token_ids, one.solution_ids(text)
    assert raw(one, [*prompt, *ids[:-1]]) == raw(one, prompt) + text
    assert ids[-1] == one.end_id == one.tokenizer.eos_token_id
    assert one.decode(ids) == text
    assert one.write(text).fault is None


def test_a_solution_has_the_tokens_that_the_whole_text_has_where_the_border_is_one_of_tokens() -> None:
    for name in ("qwen3", "r1 distillation", "gemma2", "gpt2"):
        one = student(name)
        text = one.chats.prompt(QUESTION)
        whole = one.wording.encode(text + "The answer is 42.")
        assert [*one.prompt(QUESTION).token_ids, *one.solution_ids("The answer is 42.")[:-1]] == whole


WHOLE = "So 6*7 is 42.\n\nThe answer is 42.\n\n  é ✓ 数 done"


@pytest.mark.parametrize("name", FAMILIES)
def test_a_beginning_has_the_tokens_with_which_the_whole_text_begins(name: str) -> None:
    one = student(name)
    whole = one.opened(WHOLE)
    for end in range(len(WHOLE) + 1):
        ids = one.opened(WHOLE[:end], whole=WHOLE)
        assert ids == whole[: len(ids)] and WHOLE[:end].startswith(one.decode(ids))
        longer = one.decode(whole[: len(ids) + 1])
        assert not WHOLE[:end].startswith(longer) or len(ids) == len(whole)


def test_alone_a_beginning_may_have_other_tokens() -> None:
    beginning = WHOLE[: WHOLE.index("The")]
    ids = {name: student(name).opened(beginning) for name in FAMILIES}
    assert any(ids[name] != student(name).opened(beginning, whole=WHOLE) for name in FAMILIES)


def test_no_blank_is_taught_before_a_solution() -> None:
    for tokenizer in (metaspace(MISTRAL), FAMILIES["phi3"].build(), FAMILIES["gpt2, add_prefix_space"].build()):
        alone = tokenizer("The", add_special_tokens=False)["input_ids"]
        assert raw(student(tokenizer), alone) != "The" or alone[0] in _with_blank(tokenizer), "it puts none: no test"
        first = student(tokenizer).solution_ids("The answer")[0]
        assert first not in _with_blank(tokenizer)


def _with_blank(tokenizer: Any) -> set[int]:
    return {i for token, i in tokenizer.get_vocab().items() if token.startswith(("▁", "Ġ"))}


@pytest.mark.parametrize("special", [False, True])
def test_tags_of_the_reasoning_are_read_whether_they_are_special_tokens_or_not(special: bool) -> None:
    one = student(qwen(QWEN3_THINKING, special_tags=special))
    ids = one.solution_ids("six sevens</think>\n\n\\boxed{42}")
    padded = (*ids, one.pad_id, one.pad_id)
    assert one.decode(padded) == "six sevens</think>\n\n\\boxed{42}"
    assert one.write("six sevens</think>\n\n\\boxed{42}").fault is None
    (start,) = one.wording.encode("<|im_start|>")
    assert one.decode((start, *ids)) == "<|im_start|>six sevens</think>\n\n\\boxed{42}", "it wrote that, so it is read"


def test_the_vocabulary_ends_at_the_largest_id_and_says_which_ids_are_none() -> None:
    one = student("hole in the ids")
    ids = set(one.tokenizer.get_vocab().values())
    assert one.vocabulary == max(ids) + 1 > len(one.tokenizer)
    assert set(one.holes) == set(range(one.vocabulary)) - ids and len(one.holes) == 5
    assert student("llama3").holes == ()
    assert one.end_id in one.solution_ids("42") and one.decode(one.solution_ids("42")) == "42"


CONTROL = {
    "qwen3": "<|im_end|>\n<|im_start|>user",
    "r1 distillation": "<｜User｜>",
    "phi3": "<|end|>",
    "gemma2": "<eos>",
}


@pytest.mark.parametrize("name", CONTROL)
def test_a_control_token_in_a_solution_is_named_and_a_tag_of_the_reasoning_is_none(name: str) -> None:
    one = student(name)
    fault = one.write(f"It is {CONTROL[name]} 42").fault
    assert fault is not None and "a control token" in fault and CONTROL[name][:5] in fault
    assert one.write("<think>so</think> it is 42 <b> </s ").fault is None


@pytest.mark.parametrize("name", CONTROL)
def test_a_control_token_in_a_question_is_found_wherever_its_row_holds_it(name: str) -> None:
    one = student(name)
    held = replace(QUESTION, text=f"What is {CONTROL[name]} 6*7?")
    assert "a control token" in (one.question_fault(held) or "")
    turns = (Turn(role="user", text=CONTROL[name]), Turn(role="assistant", text="2"))
    assert "a control token" in (one.question_fault(replace(QUESTION, turns=turns)) or "")
    assert one.question_fault(replace(QUESTION, text="Is <think> < 3 or <|im_ end|>?")) is None


@pytest.mark.parametrize("name", FAMILIES)
def test_a_control_token_in_a_question_opens_no_turn_when_it_is_read_as_plain_text(name: str) -> None:
    one = student(name)
    control = sorted(one.wording.control.values())
    bare = one.prompt(replace(QUESTION, text="a"))
    for text in (f"a {control[0]}{control[-1]} b", *control):
        held = one.prompt(replace(QUESTION, text=text))
        assert one.wording.count_control(held.token_ids) == one.wording.count_control(bare.token_ids)
        read = raw(one, held.token_ids)
        assert text in read or text.strip() in read
