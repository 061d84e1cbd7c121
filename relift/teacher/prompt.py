"""What a teacher is asked, and its answer as the student is to write it."""

from __future__ import annotations

import json

from relift.config import ApiTeacherConfig
from relift.records import Question, TeacherRequest
from relift.store.manifest import digest
from relift.thinking import CLOSE, OPEN
from relift.verifier.extraction import AnswerForm

INSTRUCTIONS: dict[AnswerForm, str] = {
    "boxed": "Solve the problem. Reason step by step and give the final answer at the end within \\boxed{}.",
    "hashes": "Solve the problem. Reason step by step and end with a line of its own: #### and the final answer.",
    "flexible": "Solve the problem. Reason step by step and give the final answer at the end within \\boxed{}.",
    "equals": "Answer with one line: a chain of equal expressions, one step of the calculation each, that ends in the "
    "result, such as 40*6+7*6=240+42=282 for 47*6. Write nothing else.",
}
"""System message where the recipe has none: it asks for the answer where the student writes it."""
THINKING = (
    "First think the problem through, step by step, between <think> and </think>. After </think> write the solution.\n"
)
"""Put before it for a student whose prompt opens the reasoning: what does not close it is no solution of its form."""


def requests_for(
    question: Question,
    config: ApiTeacherConfig,
    *,
    form: AnswerForm,
    max_tokens: int,
    thinks: bool = False,
    round_number: int = 0,
) -> list[TeacherRequest]:
    """A round's candidates, one request each, since some servers ignore ``n``.

    ``thinks``: the student's prompt opens the reasoning. What a question's row says before it goes before it here too,
    but for the system message, which is the student's. Equal settings give equal keys in every run.
    """
    default = (THINKING if thinks else "") + INSTRUCTIONS[form]
    instruction = default if config.instruction is None else config.instruction
    return candidates_of(question, config, instruction, max_tokens=max_tokens, round_number=round_number)


def candidates_of(
    question: Question,
    config: ApiTeacherConfig,
    instruction: str,
    *,
    max_tokens: int,
    round_number: int,
    after: str = "",
    kind: str | None = None,
) -> list[TeacherRequest]:
    """A round's requests with a system message; ``after`` stands after the question, ``kind`` in their parameters."""
    messages = [{"role": turn.role, "content": turn.text} for turn in question.turns if turn.role != "system"]
    messages.append({"role": "user", "content": config.prompt.replace("{question}", question.text) + after})
    if instruction:
        messages.insert(0, {"role": "system", "content": instruction})
    prompt = json.dumps(messages, ensure_ascii=False).encode("utf-8", "replace").decode()
    sent = parameters_of(config, config.max_tokens or max_tokens)
    named = {} if kind is None else {"kind": kind}
    return [
        TeacherRequest(
            key=digest(config.model, prompt, sent, candidate, *named.values()),
            question_id=question.id,
            model=config.model,
            prompt=prompt,
            parameters=json.dumps({**sent, **named, "candidate": candidate}, sort_keys=True),
        )
        for candidate in range(round_number * config.candidates, (round_number + 1) * config.candidates)
    ]


def parameters_of(config: ApiTeacherConfig, max_tokens: int) -> dict[str, object]:
    """What a request of that length takes beside model and messages."""
    temperature = {} if config.temperature is None else {"temperature": config.temperature}
    return {config.token_parameter: max_tokens, **temperature}


def sent_parameters(request: TeacherRequest) -> dict[str, object]:
    """What goes to the server beside model and messages."""
    tree: dict[str, object] = json.loads(request.parameters)
    for ours in ("candidate", "kind"):
        tree.pop(ours, None)
    return tree


def most_input_tokens(request: TeacherRequest) -> int:
    """No tokenizer makes more tokens than bytes; the rest is for the chat template around the messages."""
    return len(request.prompt.encode()) + 64


def joined(content: str, reasoning: str | None) -> str:
    """An answer as one text: reasoning that a server sends apart is put before it, where it holds none of its own."""
    if not reasoning or not reasoning.strip() or CLOSE in content:
        return content
    return f"{OPEN}\n{reasoning.strip()}\n{CLOSE}\n\n{content}"


def as_the_student_writes(text: str, *, thinks: bool) -> str:
    """Without the reasoning for a student whose prompt opens none; whole for one that reasons."""
    return text if thinks or CLOSE not in text else text.rpartition(CLOSE)[2].strip()
