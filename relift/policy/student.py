"""The tokenizer side of the policy: prompts, stop tokens, demonstrations as tokens."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relift.config import PolicyConfig
from relift.errors import ModelError, SelfCheckFailed
from relift.policy.engine import Prompt
from relift.records import Question

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Student:
    """How the policy's model reads questions and writes solutions."""

    tokenizer: Any
    config: PolicyConfig
    model_name: str
    stop_ids: tuple[int, ...]
    context: int
    """Tokens that prompt and completion may have together."""

    @property
    def vocabulary(self) -> int:
        """Real tokens; ids from here on only pad the embedding."""
        return len(self.tokenizer)

    @property
    def end_id(self) -> int:
        return self.stop_ids[0]

    @property
    def pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return int(self.end_id if pad is None else pad)

    def prompt(self, question: Question) -> Prompt:
        messages = [{"role": "user", "content": question.text}]
        if self.config.system_prompt is not None:
            messages.insert(0, {"role": "system", "content": self.config.system_prompt})
        text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        ids = self.tokenizer(text + self.config.prompt_suffix, add_special_tokens=False)["input_ids"]
        return Prompt(question, tuple(ids))

    def solution_ids(self, text: str) -> tuple[int, ...]:
        """Token ids of a demonstration with end-of-sequence, without what the prompt already holds.

        A demonstration that starts with the prompt's opening (`<think>`) loses it: it would stand there twice.
        """
        opening = self.config.prompt_suffix
        if opening and text.startswith(opening.strip()):
            text = text[len(opening.strip()) :].lstrip("\n")
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return (*ids, self.end_id)

    def count_tokens(self, text: str) -> int:
        """Of a demonstration, end-of-sequence included."""
        return len(self.solution_ids(text))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text without special tokens; blanks stay as they are."""
        text: str = self.tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def fitting(self, questions: Sequence[Question]) -> tuple[list[Question], int]:
        """The questions whose prompt is within policy.max_prompt_tokens, and how many are not."""
        kept = [q for q in questions if len(self.prompt(q).token_ids) <= self.config.max_prompt_tokens]
        return kept, len(questions) - len(kept)

    def format_fault(self, text: str) -> str | None:
        """Why the student could not write this text, e.g. unknown characters; None when it could.

        A special token inside would end the completion in its middle, or open another turn.
        """
        special = set(self.tokenizer.all_special_ids)
        ids = self.solution_ids(text)[:-1]
        found = next((token for token in ids if token in special), None)
        if found is not None:
            return f"the student's tokenizer reads {self.tokenizer.decode([found])!r} in it, a special token"
        opening = self.config.prompt_suffix.strip()
        wanted = text.removeprefix(opening).lstrip("\n") if opening else text
        if unicodedata.normalize("NFC", self.decode(ids)) != unicodedata.normalize("NFC", wanted):
            return "the student's tokenizer cannot write all of its characters"
        return None

    def check_label_mask(self, text: str) -> None:
        """Self-check: the labels of a demonstration decode to it and end with end-of-sequence.

        Raises SelfCheckFailed: with another text under the mask, fine-tuning would teach something else.
        """
        ids = self.solution_ids(text)
        opening = self.config.prompt_suffix.strip()
        wanted = text.removeprefix(opening).lstrip("\n") if opening else text
        found = self.decode(ids)
        if found != wanted or ids[-1] not in self.stop_ids:
            raise SelfCheckFailed(
                f"the label mask of a demonstration decodes to {found[:200]!r}, not to {wanted[:200]!r}: fine-tuning "
                f"would teach another text. Check the tokenizer of {self.model_name} (unknown characters, added "
                f"tokens)."
            )


def make_student(tokenizer: Any, model_config: Any, generation_config: Any, config: PolicyConfig) -> Student:
    """Raises ModelError when there is no chat template or no end-of-sequence token."""
    if config.chat_template is not None:
        tokenizer.chat_template = config.chat_template
    if not tokenizer.chat_template:
        raise ModelError(
            f"the tokenizer of {config.model} has no chat template, so questions cannot be rendered. Set "
            f"policy.chat_template to one, or add chat_template.jinja to the model's folder."
        )
    stops = _stop_ids(tokenizer, generation_config)
    if not stops:
        raise ModelError(
            f"neither the tokenizer nor the generation_config of {config.model} names an end-of-sequence token, so no "
            f"completion could end. Set eos_token in the model's folder."
        )
    _require_rendering(tokenizer, config)
    context = int(getattr(model_config, "max_position_embeddings", 0) or 1 << 30)
    return Student(tokenizer, config, config.model, stops, context)


def _require_rendering(tokenizer: Any, config: PolicyConfig) -> None:
    from jinja2.exceptions import TemplateError

    try:
        messages = [{"role": "system", "content": "s"}] if config.system_prompt is not None else []
        messages.append({"role": "user", "content": "1"})
        tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    except TemplateError as problem:
        raise ModelError(
            f"the chat template of {config.model} cannot render a question: {problem}. Correct policy.chat_template, "
            f"or leave policy.system_prompt out where the template takes no system message."
        ) from problem


def _stop_ids(tokenizer: Any, generation_config: Any) -> tuple[int, ...]:
    """The tokenizer's end-of-sequence first: it is what demonstrations end with."""
    configured = getattr(generation_config, "eos_token_id", None)
    more = configured if isinstance(configured, list) else [configured]
    ids = [tokenizer.eos_token_id, *more]
    return tuple(dict.fromkeys(int(i) for i in ids if i is not None))
