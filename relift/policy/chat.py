"""A chat template as one recipe uses it: which messages a question becomes, and what a prompt says after it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from relift.config import PolicyConfig
from relift.errors import ModelError
from relift.policy.rehearsal import MAX_BYTES, Chat, rehearse
from relift.policy.template_child import strftime_now
from relift.records import Question
from relift.thinking import CLOSE, Thinking, opens_twice, thinking_of

Message = dict[str, str]
MAX_FILE_BYTES = 1 << 20
_QUESTION, _WORD = "reliftsquestion", "reliftsword"
"""Stand for a text: no template writes them by itself or changes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chats:
    """The rendering of prompts; ``open_chats`` makes it, after it has tried the template in a process of its own."""

    tokenizer: Any
    config: PolicyConfig
    template: str
    ending: str = ""
    """What the template writes after a question: the end of its turn and the beginning of the answer's."""
    answers_part: str = ""
    """Of that, the beginning of the answer's turn alone, where the template tells the two apart."""
    markup: str = ""
    """All that the template writes around the messages of a chat of several turns."""

    @property
    def opening(self) -> str:
        """All that stands between the question and the completion."""
        return self.ending + self.config.prompt_suffix

    @property
    def thinking(self) -> Thinking:
        return thinking_of(self.answers_part + self.config.prompt_suffix)

    @property
    def digest(self) -> str:
        """Of the template's text, wherever it lies."""
        return hashlib.sha256(self.template.encode("utf-8", "surrogatepass")).hexdigest()

    def messages(self, question: Question) -> list[Message]:
        """The recipe's system message or else the row's own, the row's other turns, and the question."""
        recipes = self.config.system_prompt
        turns = question.turns if recipes is None or question.system is None else question.turns[1:]
        system = [] if recipes is None else [{"role": "system", "content": recipes}]
        asked = {"role": "user", "content": question.text}
        return [*system, *({"role": turn.role, "content": turn.text} for turn in turns), asked]

    def prompt(self, question: Question) -> str:
        """The rendered chat with policy.prompt_suffix.

        Raises ModelError where it is not what it has to be: without the text of a message, or with another ending than
        other questions' prompts, from which it was read whether a prompt opens the reasoning.
        """
        messages = self.messages(question)
        text = self.rendered(messages, whose=f"question {question.id}")
        for message in messages:
            # Templates drop the reasoning of turns that are over.
            said = message["content"].rpartition(CLOSE)[2] if message["role"] == "assistant" else message["content"]
            if said.strip() not in text:
                raise ModelError(
                    f"the chat template of {self.config.model} leaves out or changes the {_NAMES[message['role']]} of "
                    f"question {question.id} ({said.strip()[:60]!r}), so the policy would be asked something else. "
                    f"Correct policy.chat_template."
                )
        if not text.endswith(self.ending):
            raise ModelError(
                f"the chat template of {self.config.model} ends the prompt of question {question.id} in "
                f"{text[-60:]!r}, other prompts in {self.ending[-60:]!r}: whether a prompt opens the reasoning would "
                f"differ from question to question. Correct policy.chat_template."
            )
        return text + self.config.prompt_suffix

    def skeleton(self, question: Question) -> tuple[str, list[tuple[int, int]]]:
        """(the prompt with a word for each text of the dataset, where these texts stand in the prompt itself).

        Raises ModelError where the template changes a text beyond the blanks around it.
        """
        prompt, messages = self.prompt(question), self.messages(question)
        first = 0 if self.config.system_prompt is None else 1
        words = [f"{_QUESTION}{number}x" for number in range(first, len(messages))]
        put = [{**m, "content": word} for m, word in zip(messages[first:], words, strict=True)]
        bare = self.rendered([*messages[:first], *put], whose=f"question {question.id}") + self.config.prompt_suffix
        texts = [message["content"] for message in messages[first:]]
        for written in (texts, [text.strip() for text in texts]):
            made, spans = _filled(bare, dict(zip(words, written, strict=True)))
            if made == prompt:
                return bare, spans
        raise ModelError(
            f"the chat template of {self.config.model} changes the text of question {question.id}, so its control "
            f"tokens cannot be told from the template's own. Set questions.control_tokens to 'set-aside'."
        )

    def rehearse(self, questions: Sequence[Question]) -> None:
        """Try the prompts of all of them within the limits of ``relift.policy.rehearsal``. Raises ModelError."""
        found = self.try_out([(self.messages(question), True) for question in questions])
        for question, fault in zip(questions, found, strict=True):
            if fault is not None:
                raise _refused(self.config, fault, f"question {question.id}")

    def try_out(self, chats: Sequence[Chat]) -> list[str | None]:
        """For each why it cannot be rendered."""
        variables = {**self.tokenizer.special_tokens_map, **self.config.chat_template_kwargs}
        return rehearse(self.template, variables, chats)

    def rendered(self, messages: Sequence[Message], *, whose: str, answers: bool = True) -> str:
        """By the library, for what was tried out. Raises ModelError."""
        try:
            text: str = self.tokenizer.apply_chat_template(
                messages,
                add_generation_prompt=answers,
                tokenize=False,
                strftime_now=strftime_now,
                **self.config.chat_template_kwargs,
            )
        except Exception as problem:  # a template may fail in any way that Python knows
            raise _refused(self.config, f"{problem} [{type(problem).__name__}]", whose) from problem
        if len(text) > MAX_BYTES:
            raise _refused(self.config, f"it writes more than {MAX_BYTES >> 20} MiB", whose)
        return text


def open_chats(tokenizer: Any, config: PolicyConfig) -> Chats:
    """The template of a tokenizer or, in its place, of the recipe, tried with a question.

    Raises ModelError naming what is wrong: there is none, a file is missing, it is not a template, it takes too long,
    it leaves out the question or the system message, it opens the reasoning that policy.prompt_suffix opens too.
    """
    if config.chat_template is not None:
        tokenizer.chat_template = _template_of(config.chat_template)
    chats = Chats(tokenizer=tokenizer, config=config, template=_own_template(tokenizer, config))
    question = Question(id="", text=_QUESTION, answer="", source="")
    asked = chats.messages(question)
    several = [*asked, {"role": "assistant", "content": _WORD}, {"role": "user", "content": _WORD}]
    fault, not_begun, not_several, without_system = chats.try_out(
        [(asked, True), (asked, False), (several, True), (asked[-1:], True)]
    )
    if fault is not None:
        is_system = len(asked) > 1 and without_system is None
        raise _refused(config, fault, "policy.system_prompt" if is_system else "a question")
    prompt = chats.rendered(asked, whose="a question")
    _require_texts(config, prompt)
    ending = prompt[prompt.rindex(_QUESTION) + len(_QUESTION) :]
    answers_part = ending
    if not_begun is None:
        begun = chats.rendered(asked, whose="a question", answers=False)
        if prompt.startswith(begun) and len(prompt) - len(ending) <= len(begun) < len(prompt):
            answers_part = prompt[len(begun) :]
    if opens_twice(answers_part + config.prompt_suffix):
        raise ModelError(
            f"the chat template of {config.model} opens the reasoning itself, its prompts end in {ending[-40:]!r}, and "
            f"policy.prompt_suffix={config.prompt_suffix!r} opens it again. Leave policy.prompt_suffix out."
        )
    markup = prompt if not_several is not None else chats.rendered(several, whose="a chat")
    return replace(chats, ending=ending, answers_part=answers_part, markup=markup)


_NAMES = {"system": "system message", "user": "text", "assistant": "worked example"}


def _template_of(setting: str) -> str:
    """The text of policy.chat_template: what it says, or the file that it names."""
    try:
        path = Path(setting).expanduser()
        is_file = "\n" not in setting and path.is_file()
    except (OSError, ValueError, RuntimeError):  # too long for a path, or no home
        is_file = False
    if is_file:
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise ModelError(f"policy.chat_template={setting!r} is a file of over {MAX_FILE_BYTES >> 20} MiB.")
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise ModelError(f"policy.chat_template={setting!r} is a file that cannot be read: {problem}.") from problem
    if not re.search(r"\{[{%]", setting):
        raise ModelError(
            f"policy.chat_template={setting[:200]!r} is neither a file (looked in {Path.cwd()}) nor a template, which "
            f"would write its messages with {{{{ }}}} or {{% %}}: every prompt would be this text, without a question. "
            f"Give the path of a file that is there, or the template itself."
        )
    return setting


def _own_template(tokenizer: Any, config: PolicyConfig) -> str:
    try:
        template = tokenizer.get_chat_template() if tokenizer.chat_template else None
    except (ValueError, TypeError, AttributeError) as problem:  # several of them, and none for plain chats
        raise ModelError(f"the chat template of {config.model} cannot be used: {problem}") from problem
    if not template or not isinstance(template, str):
        raise ModelError(
            f"the tokenizer of {config.model} has no chat template, so questions cannot be rendered. Set "
            f"policy.chat_template to one, or add chat_template.jinja to the model's folder."
        )
    return template


def _require_texts(config: PolicyConfig, prompt: str) -> None:
    wanted = {"the question": _QUESTION, "policy.system_prompt": (config.system_prompt or "").strip()}
    missing = [name for name, text in wanted.items() if text not in prompt]
    if missing:
        raise ModelError(
            f"the chat template of {config.model} leaves out {' and '.join(missing)}: a prompt is {prompt[:200]!r}. "
            f"Correct policy.chat_template, or leave policy.system_prompt out where the template cannot hold one."
        )


def _refused(config: PolicyConfig, reason: str, what: str) -> ModelError:
    return ModelError(
        f"the chat template of {config.model} cannot render {what}: {reason}. Correct policy.chat_template, or leave "
        f"policy.system_prompt out where the template takes no system message."
    )


def _filled(bare: str, texts: Mapping[str, str]) -> tuple[str, list[tuple[int, int]]]:
    """(the text with each word replaced, where the replacements stand in it)."""
    made, spans = "", []
    for part in re.split(f"({'|'.join(map(re.escape, texts))})", bare):
        text = texts.get(part, part)
        if part in texts:
            spans.append((len(made), len(made) + len(text)))
        made += text
    return made, spans
