"""Models of real families, tiny, with their tokenizers and templates: trained end to end, or refused before work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from relift.config import RunConfig
from relift.config.recipe import load_recipe
from relift.errors import ModelError
from relift.learning import demonstration_sequence, micro_batches, rollout_sequence, token_logprobs
from relift.learning.forward import plain_logprobs
from relift.opening.run import open_run
from relift.phases import verify
from relift.policy.holes import mask_holes
from relift.policy.model import export_model
from relift.policy.sampling_request import SamplingRequest
from relift.records import Completion, FinishReason, Purpose, Question, Status
from relift.run.run import Run
from tests.models.architectures import REFUSED, SUPPORTED, write_model
from tests.models.families import FAMILIES, Family
from tests.phases.conftest import drive

pytestmark = pytest.mark.models

ARCHITECTURES = {family.name: (family, family.model_type) for family in FAMILIES.values()} | {
    "gemma2 without caps": (FAMILIES["gemma2"], "gemma2, uncapped")
}
TRAINED = [
    pytest.param(case, marks=pytest.mark.xdist_group(name), id=name)
    for name, case in ARCHITECTURES.items()
    if case[1] not in REFUSED
]
NOT_TRAINED = [pytest.param(*case, id=name) for name, case in ARCHITECTURES.items() if case[1] in REFUSED]
QUESTIONS = 8
ANSWER = "7"
SETTINGS = (
    "iterations=24",
    "questions.format=rows",
    "questions.solution_column=solution",
    "questions.held_out_share=0",
    "questions.batch_size=4",
    "policy.max_prompt_tokens=256",
    "rollout.samples=4",
    "rollout.max_tokens=32",
    "teacher.max_tokens=64",
    "rl.questions_per_update=2",
    "rl.optimizer.lr=1e-3",
    "teach.rule.batch_size=4",
    "sft.epochs=2",
    "teach.control_share=0",
    "sft.optimizer.lr=1e-2",
    "evaluation=off",
    "checkpoint.every=100",
)
NEAR = 1e-4
"""Nats, in float32."""


def solution(family: Family) -> str:
    reasoning = "So\n</think>\n\n" if family.opens_thinking else ""
    return f"{reasoning}\\boxed{{{ANSWER}}}"


def config_of(family: Family, architecture: Any, folder: Path) -> RunConfig:
    model = write_model(folder / "model", architecture, family.build())
    rows = [
        {"question": f"What is {a}+{int(ANSWER) - a}?", "answer": ANSWER, "solution": solution(family)}
        for a in range(QUESTIONS)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    paths = (f"store={folder / 'runs'}", f"policy.model={model}", f"questions.path={folder / 'rows.jsonl'}")
    values = [f"policy.chat_template_kwargs.{name}={json.dumps(value)}" for name, value in family.kwargs]
    return load_recipe("gsm8k", [*SETTINGS, *paths, *values])


@pytest.fixture(scope="module", params=TRAINED)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Family, Run]]:
    """A family's run, trained to its end, its last weights resident."""
    torch.set_num_threads(1)
    family, architecture = request.param
    folder = tmp_path_factory.mktemp("family")
    with open_run(config_of(family, SUPPORTED[architecture], folder), "tiny") as run:
        run.policy.at(drive(run, run.iterations)[-1])
        yield family, run


@pytest.fixture(scope="module")
def exported(trained: tuple[Family, Run]) -> Any:
    """The exported model as the library loads it, with its plainest attention; ids without a token ruled out."""
    _, run = trained
    folder = run.root / "exported"
    export_model(run.policy.model, run.student, folder)
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    mask_holes(model, run.student.holes)
    return model


def questions(run: Run) -> tuple[Question, ...]:
    return run.questions.training


def sample(run: Run, *, temperature: float) -> list[list[Completion]]:
    request = SamplingRequest(
        samples=1 if temperature == 0 else 4,
        max_tokens=run.config.rollout.max_tokens,
        temperature=temperature,
        seed=0,
        iteration=0,
        purpose=Purpose.TRAIN,
        version=0,
    )
    run.engine.serve(run.policy)
    return run.engine.sample([run.student.prompt(q) for q in questions(run)], request)


def written(run: Run, text: str) -> Completion:
    ids = run.student.solution_ids(text)
    return Completion(
        token_ids=ids,
        logprobs=(0.0,) * len(ids),
        text=run.student.decode(ids),
        finish_reason=FinishReason.STOP,
        policy_version=0,
    )


def test_both_updates_ran_and_the_model_learned_the_answer(trained: tuple[Family, Run]) -> None:
    _, run = trained
    updates = dict(run.ledger.execute("SELECT kind, count(*) FROM updates GROUP BY kind"))
    assert updates["rl"] >= 1 and updates["sft"] >= 1
    assert run.checked, "the self-checks of engine and trainer ran"
    [(first,)] = run.ledger.execute("SELECT sum(correct) FROM groups WHERE iteration = 0")
    [(last,)] = run.ledger.execute(f"SELECT sum(correct) FROM groups WHERE iteration = {run.iterations - 1}")
    assert first == 0 and last >= 4


def test_greedy_sampling_is_what_generate_writes(trained: tuple[Family, Run], exported: Any) -> None:
    _, run = trained
    for question, (completion,) in zip(questions(run), sample(run, temperature=0.0), strict=True):
        ids = torch.tensor([run.student.prompt(question).token_ids])
        written = exported.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=run.config.rollout.max_tokens,
            do_sample=False,
            eos_token_id=list(run.student.stop_ids),
            pad_token_id=run.student.pad_id,
            suppress_tokens=[*range(run.student.vocabulary, exported.config.vocab_size)] or None,
        )
        assert completion.token_ids == tuple(written[0, ids.shape[1] :].tolist())


def test_engine_and_trainer_with_prompts_once_compute_what_the_library_does(
    trained: tuple[Family, Run], exported: Any
) -> None:
    _, run = trained
    sequences = [
        rollout_sequence(run.student.prompt(question).token_ids, question.id, completion)
        for question, group in zip(questions(run), sample(run, temperature=1.0), strict=True)
        for completion in group
    ]
    shared = 0
    for batch in micro_batches(sequences, max_tokens=2000, share_prompts=True):
        shared += sum(len(sequences[i].token_ids) for i in batch.indices) - len(batch.token_ids_P)
        with torch.no_grad():
            logprobs_C, _ = token_logprobs(
                run.policy.model, batch, temperature=1.0, vocabulary=run.student.vocabulary, chunk_tokens=1000
            )
        for slot, index in enumerate(batch.indices):
            count = sum(sequences[index].loss_mask)
            expected = plain_logprobs(exported, sequences[index], 1.0, run.student.vocabulary, count)
            np.testing.assert_allclose(logprobs_C[batch.sequence_C == slot], expected, atol=NEAR)
            np.testing.assert_allclose(sequences[index].sampling_logprobs[-count:], expected, atol=NEAR)
    assert shared > 100, "no prompt was shared"


def test_the_loss_is_over_exactly_the_solution_and_its_end(trained: tuple[Family, Run], exported: Any) -> None:
    family, run = trained
    tokenizer = AutoTokenizer.from_pretrained(run.root / "exported")
    for question in questions(run):
        prompt_ids = run.student.prompt(question).token_ids
        sequence = demonstration_sequence(question.id, prompt_ids, run.student.solution_ids(solution(family)))
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": question.text}],
            add_generation_prompt=True,
            tokenize=False,
            **dict(family.kwargs),
        )
        whole = prompt + solution(family) + tokenizer.convert_ids_to_tokens(run.student.end_id)
        # But for blanks: Phi-3's tokens of a turn take those behind them, so a text does not come back with its own.
        there, wanted = (
            tokenizer.decode(ids).split()
            for ids in (sequence.token_ids, tokenizer(whole, add_special_tokens=False)["input_ids"])
        )
        assert "".join(there) == "".join(wanted)
        in_loss = [i for i, there in zip(sequence.token_ids, sequence.loss_mask, strict=True) if there]
        assert run.student.decode(in_loss) == solution(family)
        assert in_loss[-1] == run.student.end_id
        assert sum(sequence.loss_mask[: len(prompt_ids)]) == 0
        [batch] = micro_batches([sequence], max_tokens=1000)
        with torch.no_grad():
            logprobs_C, _ = token_logprobs(
                run.policy.model, batch, temperature=1.0, vocabulary=run.student.vocabulary, chunk_tokens=1000
            )
        expected = plain_logprobs(exported, sequence, 1.0, run.student.vocabulary, len(in_loss))
        np.testing.assert_allclose(logprobs_C, expected, atol=NEAR)


def test_a_right_completion_is_rewarded_and_a_wrong_one_is_not(trained: tuple[Family, Run]) -> None:
    family, run = trained
    right = written(run, solution(family))
    verdicts = verify.judge(run, [(ANSWER, right), ("8", right)])
    assert [v.status for v in verdicts] == [Status.CORRECT, Status.WRONG]
    assert [verify.reward(v, run.config.rl) for v in verdicts] == [1.0, 0.0]


def test_an_answer_inside_reasoning_that_never_closes_is_none(trained: tuple[Family, Run]) -> None:
    family, run = trained
    bare = written(run, f"\\boxed{{{ANSWER}}}")
    [verdict] = verify.judge(run, [(ANSWER, bare)])
    assert (verdict.status is Status.CORRECT) is not family.opens_thinking


def test_what_is_exported_is_what_was_trained(trained: tuple[Family, Run], exported: Any) -> None:
    family, run = trained
    ids = torch.tensor([run.student.prompt(questions(run)[0]).token_ids])
    with torch.no_grad():
        torch.testing.assert_close(
            exported(ids, use_cache=False).logits, run.policy.model(ids, use_cache=False).logits, rtol=0, atol=NEAR
        )
    assert "relift" not in (run.root / "exported" / "config.json").read_text()
    before, after = (AutoTokenizer.from_pretrained(p) for p in (run.config.policy.model, run.root / "exported"))
    assert after.chat_template == before.chat_template == family.build().chat_template
    assert after(solution(family))["input_ids"] == before(solution(family))["input_ids"]


@pytest.mark.parametrize(("family", "architecture"), NOT_TRAINED)
def test_a_family_that_is_not_trained_is_refused_before_any_work(
    family: Family, architecture: str, tmp_path: Path
) -> None:
    make, reason = REFUSED[architecture]
    with pytest.raises(ModelError, match=reason):
        open_run(config_of(family, make, tmp_path), "refused")
    assert not (tmp_path / "runs" / "refused" / "run.json").exists()
