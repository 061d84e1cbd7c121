"""A tiny Llama that reads and writes any text, and answers a question with one of four digits, drawn evenly: some
questions are solved by no rollout of four, some by one, and all words of a prompt can be written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from relift.config import PolicyConfig, RunConfig
from relift.config.recipe import load_recipe
from relift.policy.model import export_model, load_model
from relift.records import Question
from tests.models.architectures import SUPPORTED, write_model
from tests.models.families import FAMILIES

DIGITS = "0123"
QUESTIONS = tuple(f"What is {a}+{int(digit) - a}?" for a in range(-3, 3) for digit in DIGITS)
SETTINGS = (
    "iterations=8",
    "questions.format=rows",
    "questions.solution_column=solution",
    "questions.held_out_share=0",
    "questions.batch_size=8",
    "policy.max_prompt_tokens=320",
    "rollout.samples=4",
    "rollout.max_tokens=16",
    "teacher.max_tokens=32",
    "rl.questions_per_update=4",
    "rl.optimizer.lr=3e-4",
    "sft=off",
    "teach.control_share=0.2",
    "evaluation=off",
    "checkpoint.every=2",
)


def write_guesser(folder: Path, shown: Mapping[str, str], steps: int = 45) -> Path:
    """As a Hugging Face folder. ``shown``: digits that it answers with where a text stands after the question."""
    torch.set_num_threads(1)
    drawn = write_model(folder / "drawn", SUPPORTED["llama"], FAMILIES["llama3"].build())
    model, student = load_model(PolicyConfig(model=str(drawn), device="cpu"), seed=0)
    asked = [(text, DIGITS) for text in QUESTIONS[::12]]
    asked += [(f"{QUESTIONS[0]}\n\n{text}", digits) for text, digits in shown.items()]
    prompt_of = lambda text: student.prompt(Question(id="", text=text, answer="", source="")).token_ids  # noqa: E731
    pairs = [(prompt_of(text), student.solution_ids(answer(d))) for text, digits in asked for d in digits]
    length = max(len(prompt + solution) for prompt, solution in pairs)
    ids, labels = torch.full((len(pairs), length), 0), torch.full((len(pairs), length), -100)
    for row, (prompt, solution) in enumerate(pairs):
        ids[row, : len(prompt + solution)] = torch.tensor(prompt + solution)
        labels[row, len(prompt) : len(prompt + solution)] = torch.tensor(solution)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    export_model(model, student, folder / "model")
    return folder / "model"


def answer(digit: str) -> str:
    return f"So it is \\boxed{{{digit}}}"


def guesser_config(model: Path, store: Path, *more: str) -> RunConfig:
    rows = [{"question": q, "answer": d, "solution": answer(d)} for q, d in zip(QUESTIONS, DIGITS * 6, strict=True)]
    data = store.parent / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    paths = (f"store={store}", f"policy.model={model}", f"questions.path={data}")
    return load_recipe("gsm8k", [*SETTINGS, *paths, *more])
