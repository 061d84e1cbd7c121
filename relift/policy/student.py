"""The tokenizer side of the policy: prompts, stop tokens, demonstrations as tokens."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from relift.config import PolicyConfig
from relift.errors import ModelError, SelfCheckFailed
from relift.policy.chat import Chats, open_chats
from relift.policy.sampling_request import Prompt
from relift.policy.wording import Wording, is_same
from relift.records import Question, Written
from relift.thinking import CLOSE, OPEN, Thinking

SAMPLES = 64
"""Solutions of which one at least must be writable before a run begins."""


@dataclass(frozen=True, slots=True)
class Student:
    """How the policy's model reads questions and writes solutions."""

    tokenizer: Any
    config: PolicyConfig
    model_name: str
    stop_ids: tuple[int, ...]
    context: int
    """Tokens that prompt and completion may have together."""
    chats: Chats
    wording: Wording

    @property
    def vocabulary(self) -> int:
        """The largest id of a token, and 1; ids from here on only pad the embedding."""
        return self.wording.size

    @property
    def holes(self) -> tuple[int, ...]:
        """Ids below ``vocabulary`` that are no token: they must never be sampled, nor hold any probability."""
        return self.wording.holes

    @property
    def end_id(self) -> int:
        return self.stop_ids[0]

    @property
    def pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return int(self.end_id if pad is None else pad)

    @property
    def thinks(self) -> bool:
        """Whether a prompt ends inside the reasoning, whoever opened it, so that a solution has to close it."""
        return self.chats.thinking is Thinking.OPENED

    def prompt(self, question: Question) -> Prompt:
        """Raises ModelError where the chat template does not do justice to this question."""
        text = self.chats.prompt(question)
        if self.control_text(question) is None:
            return Prompt(question, tuple(self.wording.encode(text)))
        bare, spans = self.chats.skeleton(question)
        cuts = [start + cut for start, end in spans for cut in self.wording.borders(text[start:end])]
        ids = self.wording.encode_as_plain_text(text, cuts)
        if self.wording.count_control(ids) != self.wording.count_control(self.wording.encode(bare)):
            raise ModelError(
                f"the tokenizer of {self.model_name} reads control tokens in question {question.id} however its text "
                f"is cut. Set questions.control_tokens to 'set-aside'."
            )
        return Prompt(question, tuple(ids))

    def control_text(self, question: Question) -> str | None:
        """A control token in what the dataset says, which would end its turn or open another; None without one."""
        texts = (question.text, *(turn.text for turn in question.turns))
        return next(filter(None, map(self.wording.control_text, texts)), None)

    def question_fault(self, question: Question) -> str | None:
        """Why a question is better not asked; None where nothing speaks against it."""
        found = self.control_text(question)
        return f"its text holds {found!r}, a control token of the student's tokenizer" if found else None

    def solution_ids(self, text: str) -> tuple[int, ...]:
        """Token ids of a demonstration as it goes on from a prompt, with end-of-sequence.

        A demonstration that starts with what the prompt ends with (`<think>`) loses it: it would stand there twice.
        """
        return (*self.opened(text), self.end_id)

    def opened(self, text: str, *, whole: str = "") -> tuple[int, ...]:
        """Token ids of the beginning of a completion, to be gone on from.

        With ``whole``, the text that it begins, those of that which end within it: alone its last characters might be
        other tokens, which the whole never holds.
        """
        if not whole:
            return tuple(self.wording.encode_after(self.chats.opening, self._after_the_prompt(text)))
        ids, beginning = self.opened(whole), self._after_the_prompt(text)
        end = bisect_right(range(len(ids) + 1), len(beginning), key=lambda end: len(self.decode(ids[:end]))) - 1
        while not beginning.startswith(self.decode(ids[:end])):  # in the middle of a character
            end -= 1
        return ids[:end]

    def write(self, text: str) -> Written:
        """A solution as the student would write it; without its reasoning where the prompt has closed that."""
        if self.chats.thinking is Thinking.CLOSED and CLOSE in text:
            text = text.rpartition(CLOSE)[2].strip()
        ids = self.solution_ids(text)
        return Written(text=text, tokens=len(ids), fault=self._fault(self._after_the_prompt(text), ids[:-1]))

    def decode(self, token_ids: Sequence[int]) -> str:
        """All that the policy wrote but end-of-turn, end-of-sequence and padding; blanks stay as they are."""
        unsaid = {*self.stop_ids, self.pad_id}
        return self.wording.decode([i for i in token_ids if i not in unsaid])

    def fitting(self, questions: Sequence[Question]) -> tuple[list[Question], int]:
        """The questions whose prompt is within policy.max_prompt_tokens, and how many are not.

        Raises ModelError for a question that the chat template does not render as it has to.
        """
        self.chats.rehearse(questions)
        kept = [q for q in questions if len(self.prompt(q).token_ids) <= self.config.max_prompt_tokens]
        return kept, len(questions) - len(kept)

    def require_solutions(self, texts: Sequence[str]) -> None:
        """Self-check: some of these solutions can be taught. Every single one is checked when it is admitted.

        Raises SelfCheckFailed: with a tokenizer that can write none, fine-tuning would teach something else.
        """
        faults = [self.write(text).fault for text in texts[:SAMPLES]]
        if faults and all(faults):
            raise SelfCheckFailed(
                f"none of the first {len(faults)} solutions of the dataset can be taught to {self.model_name}; of the "
                f"first one {faults[0]}. Fine-tuning would teach another text: check the tokenizer (unknown "
                f"characters, added tokens), or set sft=off."
            )

    def _after_the_prompt(self, text: str) -> str:
        """Without what the prompt already holds."""
        opening = self.chats.opening
        reasoning = opening[opening.rfind(OPEN) :] if self.thinks else ""
        for held in (self.config.prompt_suffix.strip(), reasoning.strip(), OPEN if self.thinks else ""):
            if held and text.startswith(held):
                return text[len(held) :].lstrip("\n")
        return text

    def _fault(self, text: str, ids: Sequence[int]) -> str | None:
        control = self.wording.first_control(ids, text)
        if control is not None:
            return (
                f"the student's tokenizer reads {control!r} in it, a control token that would end its turn or open "
                f"another"
            )
        read = self.wording.decode(ids)
        if is_same(read, text):
            return None
        if is_same(read.lstrip(" "), text.lstrip(" ")):
            return (
                f"the student's tokenizer changes the blanks before it ({read[:20]!r} for {text[:20]!r}): it takes "
                f"every text for the beginning of a line (add_prefix_space, add_dummy_prefix)"
            )
        return f"the student's tokenizer cannot write all of its characters: {text[:40]!r} comes back as {read[:40]!r}"


def make_student(tokenizer: Any, model_config: Any, generation_config: Any, config: PolicyConfig) -> Student:
    """Raises ModelError when there is no chat template that renders a question, no end-of-sequence token, or more
    tokens than the model has rows for."""
    chats = open_chats(tokenizer, config)
    stops = _stop_ids(tokenizer, generation_config)
    if not stops:
        raise ModelError(
            f"neither the tokenizer nor the generation_config of {config.model} names an end-of-sequence token, so no "
            f"completion could end. Set eos_token in the model's folder."
        )
    context = int(getattr(model_config, "max_position_embeddings", 0) or 1 << 30)
    wording = Wording(tokenizer)
    wording = replace(wording, markup=frozenset(wording.encode(chats.markup)))
    student = Student(tokenizer, config, config.model, stops, context, chats, wording)
    rows = getattr(model_config, "vocab_size", student.vocabulary)
    if student.vocabulary > rows:
        raise ModelError(
            f"the tokenizer of {config.model} has a token with the id {student.vocabulary - 1}, its model only "
            f"{rows} rows for them: they do not belong together. Give the model as many rows "
            f"(resize_token_embeddings), or its own tokenizer"
        )
    return student


def _stop_ids(tokenizer: Any, generation_config: Any) -> tuple[int, ...]:
    """The tokenizer's end-of-sequence first: it is what demonstrations end with."""
    configured = getattr(generation_config, "eos_token_id", None)
    more = configured if isinstance(configured, list) else [configured]
    ids = [tokenizer.eos_token_id, *more]
    return tuple(dict.fromkeys(int(i) for i in ids if i is not None))
