"""24 faults of the reference implementation (github.com/TheRoadQaQ/ReLIFT, both releases): a test against each.

Where a folder has the test already, ELSEWHERE names it; the others are here. None of them passes with the fault put in.
"""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
import torch

from relift.arithmetic.tokenizer import CHAT_TEMPLATE as ARITHMETIC
from relift.arithmetic.tokenizer import build_tokenizer
from relift.config import PolicyConfig, ReliftRuleConfig, RunConfig, Section, SftConfig, TeachConfig
from relift.config.recipe import differences, load_recipe, recipe_names
from relift.errors import ConfigError, Interrupted, SelfCheckFailed
from relift.learning import demonstration_sequence, micro_batches
from relift.opening.run import open_run
from relift.phases.evaluate import evaluate
from relift.phases.gate import gate
from relift.phases.phase import finish
from relift.phases.rl_update import rl_update
from relift.phases.rollout import FILE as ROLLOUTS
from relift.phases.rollout import rollout
from relift.phases.sft_update import sft_update
from relift.phases.source import source
from relift.phases.tables import completions_from_parquet, from_parquet, rollouts_to_parquet
from relift.phases.updates import record_update, reports_of
from relift.phases.verify import FILE as VERDICTS
from relift.phases.verify import verify
from relift.policy.student import make_student
from relift.policy.tiny import CHAT_TEMPLATE as BYTES
from relift.policy.tiny import byte_tokenizer
from relift.records import (
    Completion,
    EvalResult,
    FinishReason,
    PhaseRef,
    PolicyVersion,
    Question,
    UpdateKind,
    UpdateReport,
)
from relift.run.progress import METRICS
from relift.run.recorded import EvaluationRecord, UpdateRecord, phase_key
from relift.run.run import Run
from relift.verifier import Verifier
from tests.phases.conftest import drive
from tests.small_run import small_config

ROOT = Path(__file__).parent.parent
ELSEWHERE = {
    # Supervised gradients by micro-batches; by ranks; entropy by packing; "constant" with copies of the batch.
    1: ["tests/learning/test_gradients.py::test_the_sft_gradient_does_not_depend_on_how_the_batch_is_split"],
    2: ["tests/learning/test_sharding.py::test_the_gradient_and_the_report_do_not_depend_on_the_number_of_ranks"],
    3: ["tests/learning/test_gradients.py::test_the_rl_gradient_does_not_depend_on_how_the_batch_is_split"],
    4: ["tests/learning/test_gradients.py::test_copies_of_the_batch_leave_the_gradient_unchanged"],
    # First failed, first taught; waiting once; hardest whatever the shaping.
    6: ["tests/interleave/test_buffer.py::test_first_failed_first_taught_also_when_more_come_than_are_taken"],
    7: ["tests/interleave/test_buffer.py::test_a_question_that_fails_in_three_epochs_waits_once"],
    8: ["tests/interleave/test_gate.py::test_shaped_rewards_do_not_change_which_questions_are_hardest"],
    # Never cut; one think prefix.
    9: ["tests/teacher/test_teacher_admission.py::test_end_of_sequence_counts_towards_the_limit_and_nothing_is_cut"],
    10: ["tests/policy/test_student.py::test_a_demonstration_starting_with_the_opening_of_the_prompt_yields_it_once"],
    # Killed after each phase; schedules; the last closing tag; eight truncated; gold that nothing can equal.
    12: [
        "tests/phases/test_killed_after_each_phase.py"
        "::test_killed_after_a_phase_and_resumed_the_next_metrics_are_the_uninterrupted_runs"
    ],
    13: ["tests/phases/test_replay.py::test_a_supervised_update_leaves_the_schedule_and_the_rl_optimizer_alone"],
    15: ["tests/verifier/test_verifier_extraction.py::test_the_last_box_after_the_reasoning_is_the_answer"],
    16: ["tests/interleave/test_gate.py::test_eight_truncated_rollouts_are_hardest_under_the_presets_only"],
    17: ["tests/run/test_opening.py::test_a_mistake_is_named_and_no_run_is_left_behind"],
    # The gap to the sampler: computed and reported; a run stops at it. Lengths in tokens.
    19: [
        "tests/learning/test_updates.py"
        "::test_the_gap_to_the_sampler_is_measured_over_trained_tokens_before_anything_moves",
        "tests/phases/test_replay.py::test_a_gap_between_engine_and_trainer_stops_the_run",
    ],
    23: ["tests/evaluation/test_scores.py::test_a_summary_averages_questions_and_counts_bands"],
}

Opener = Callable[..., Run]
HARD = "questions.families.par=100000"
"""Nearly all questions are of a family that the base never solves."""
MASTERED = "questions.families.add3=100000"


@pytest.fixture
def opener(tmp_path: Path) -> Iterator[Opener]:
    """Opens the small run in the test's folder, changed by settings or as a whole."""
    torch.set_num_threads(1)
    with ExitStack() as stack:

        def opened(*settings: str, name: str = "small", change: Callable[[RunConfig], RunConfig] = lambda c: c) -> Run:
            return stack.enter_context(open_run(change(small_config(tmp_path / "runs", *settings)), name))

        yield opened


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_fault_has_its_test_here_or_where_the_table_says() -> None:
    for node in (node for nodes in ELSEWHERE.values() for node in nodes):
        path, _, name = node.partition("::")
        assert name.startswith("test_") and name in functions(ROOT / path), node
    docstrings = [ast.get_docstring(f) or "" for name, f in functions(Path(__file__)).items() if "test_" in name]
    here = [int(text.split()[1].rstrip(":")) for text in docstrings if text.startswith("Fault ")]
    assert here == sorted(here)
    assert sorted([*here, *ELSEWHERE]) == list(range(1, 25))


def test_steps_without_a_hard_question_and_steps_that_empty_the_buffer_run(opener: Opener) -> None:
    """Fault 5: either was a crash."""
    easy = opener(MASTERED, name="easy")
    drive(easy, 2)
    assert [facts(easy, i, "gate")["hardest"] for i in range(2)] == [[], []]
    # Every demonstration is taught at once, so nothing ever waits.
    drained = opener(
        HARD,
        "questions.batch_size=8",
        name="drained",
        change=taught_by(ReliftRuleConfig(batch_size=1, max_updates_per_iteration=100)),
    )
    drive(drained, 3)
    assert [(line["taught"] > 0, line["buffer"]) for line in metrics(drained)] == [(True, 0)] * 3


TEMPLATES = {
    "a line": (byte_tokenizer, PolicyConfig(chat_template=BYTES)),
    "ChatML, opened reasoning": (
        byte_tokenizer,
        PolicyConfig(
            chat_template=(
                "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
                "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
            ),
            system_prompt="Put the result into \\boxed{}.",
            prompt_suffix="<think>\n",
        ),
    ),
    "headers, with a first token": (
        byte_tokenizer,
        PolicyConfig(
            chat_template=(
                "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}]\n\n{{ message['content'] }}"
                "{% endfor %}{% if add_generation_prompt %}[assistant]\n\n{% endif %}"
            )
        ),
    ),
    "none but the question": (build_tokenizer, PolicyConfig(chat_template=ARITHMETIC)),
}
SOLUTIONS = {byte_tokenizer: "Sechs × 7\n= \\boxed{42} ✓", build_tokenizer: "6*7=42"}


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_labels_decode_to_the_demonstration_and_end_of_sequence_and_the_rest_to_the_prompt(template: str) -> None:
    """Fault 11: the label mask under each chat template."""
    tokenizer, config = TEMPLATES[template]
    student = make_student(tokenizer(), SimpleNamespace(max_position_embeddings=512), None, config)
    text = SOLUTIONS[tokenizer]
    prompt = student.prompt(Question(id="q", text="6*7?", answer="42", source="test"))
    made = demonstration_sequence("q", prompt.token_ids, student.solution_ids(text))
    (batch,) = micro_batches([made, made], max_tokens=1000)
    for slot in range(2):
        assert student.tokenizer.decode(batch.targets_C[batch.sequence_C == slot].tolist()) == text + "<eos>"
    assert batch.targets_C.tolist() == batch.token_ids_P[batch.predictors_C + 1].tolist()
    shown = [token for token, in_loss in zip(made.token_ids, made.loss_mask, strict=True) if not in_loss]
    messages = [{"role": "user", "content": "6*7?"}]
    if config.system_prompt:
        messages.insert(0, {"role": "system", "content": config.system_prompt})
    rendered = student.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert student.tokenizer.decode(shown) == rendered + config.prompt_suffix


def test_no_benchmark_is_asked_between_checkpoints_or_chooses_one_or_is_trained_on(
    opener: Opener, tmp_path: Path
) -> None:
    """Fault 14: a benchmark is for reports alone, and no validation set overlaps one."""
    plain = opener(name="plain").questions
    shared = [*plain.training[:3], *plain.held_out[:3]]
    rows = [{"question": q.text, "answer": q.answer} for q in shared] + [{"question": "1+1+1+1?", "answer": "4"}]
    exam = tmp_path / "exam.jsonl"
    exam.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = opener(f"evaluation.benchmarks=[{{ name = 'exam', path = '{exam}' }}]")
    benchmarks = {q.id for q in run.questions.benchmarks}
    assert len(benchmarks) == 7
    assert not benchmarks & {q.id for q in (*run.questions.training, *run.questions.held_out)}

    def asked(iteration: int, full: bool) -> set[str]:
        ref = evaluate(run, iteration, run.base, full)
        return {question for question, _, _ in completions_from_parquet(run.store.read(ref.key, ROLLOUTS))}

    assert benchmarks < asked(0, full=True)
    assert asked(2, full=False) and not benchmarks & asked(2, full=False)
    for iteration, mean, full in ((3, 0.3, False), (4, 0.5, False), (5, 0.4, False), (6, 0.9, True)):
        run.store.publish(f"checkpoints/{iteration:05d}", {}, inputs="made up")
        result = EvalResult(
            benchmark="b",
            version=0,
            iteration=iteration,
            questions=1,
            k=1,
            avg_at_k=mean,
            pass_at_k=mean,
            low=0.0,
            high=1.0,
        )
        made_up = EvaluationRecord(results=(result,), full=full).to_json()
        finish(run, iteration, "evaluate", {}, inputs="made up", counts={}, facts=made_up)
    assert run.best_iteration() == 4, "the full evaluation, which asks benchmarks too, chooses nothing"


def test_never_ending_expressions_cost_bounded_time_in_any_thread_and_are_counted_not_rewarded(opener: Opener) -> None:
    """Fault 18: what cannot be compared costs neither the batch nor its rollout."""
    run = opener("checks.max_failed_share=0.5")
    run.verifier.close()
    run.verifier = Verifier("boxed", hard_limit_seconds=1.0)
    roots = "+".join(rf"\sqrt{{{n}}}" for n in (2, 3, 5, 7, 11, 13, 17))
    endless = rf"\boxed{{({roots})^{{999}}}}"  # sympy expands it for longer than anybody waits
    question = run.questions.training[0]
    found: list[Any] = []

    def verify_in_thread(iteration: int, texts: list[str]) -> None:
        rollouts = recorded_rollouts(run, iteration, question, [*texts, f"\\boxed{{{question.answer}}}", "\\boxed{-1}"])

        def work() -> None:
            try:
                found.append(verify(run, iteration, rollouts))
            except SelfCheckFailed as problem:
                found.append(problem)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(30)

    verify_in_thread(0, [endless] * 2)
    verify_in_thread(1, [endless] * 3)
    first, second = found
    assert dict(first.counts) == {"correct": 1, "timeout": 2, "wrong": 1}
    rows = from_parquet(run.store.read(first.key, VERDICTS))
    assert [row["reward"] for row in rows] == [None, None, 1.0, 0.0]
    assert rows[0]["seconds"] < 10, "the limit of one second and a new worker, on a busy machine too"
    assert "3 of 5 verdicts are timeout or error" in str(second)
    assert run.store.manifest(phase_key(1, "verify")) is None


def test_refused_updates_are_counted_and_ten_in_a_row_stop_the_run(opener: Opener) -> None:
    """Fault 20: an update is not left out without a word."""
    run = opener("rl.optimizer.skip_above=1e-9", "sft=off")
    drive(run, 1)
    (report,) = reports_of(run, phase_key(0, "rl_update"))
    assert (report.refused, report.steps) == (2, 0)
    assert run.ledger.execute("SELECT refused, version, checksum FROM updates") == [(2, 0, run.base.checksum)]

    def update(iteration: int, **steps: int) -> PolicyVersion:
        made = UpdateRecord(version=run.base, reports=(UpdateReport(kind=UpdateKind.RL, **steps),), uses=(), lr=1e-6)
        return record_update(run, iteration, phase_key(iteration, "rl_update"), made, files={}, inputs="")

    for iteration in range(1, 9):
        update(iteration, refused=1)
    update(9, steps=1, refused=3)  # after nine in a row, one with a step that was taken
    for iteration in range(10, 19):
        update(iteration, refused=1)
    update(19, skipped=1)  # nothing had signal, which says nothing
    with pytest.raises(SelfCheckFailed, match="10 updates in a row were refused"):
        update(20, refused=1)
    assert run.store.manifest(phase_key(20, "rl_update")) is None


def test_without_sft_a_run_is_plain_grpo_and_nothing_else_differs(opener: Opener) -> None:
    """Fault 21: the published baseline was confounded by other clips."""
    for name in recipe_names():
        grpo = load_recipe(name, ["sft=off"])
        assert grpo.sft is None
        assert all(line.startswith(("sft.", "sft:")) for line in differences(load_recipe(name), grpo))
    taught, plain = opener(name="relift"), opener("sft=off", name="grpo")
    versions = drive(taught, 1), drive(plain, 1)
    first = [facts(run, 0, "rl_update") for run in (taught, plain)]
    assert first[0]["version"]["checksum"] == first[1]["version"]["checksum"] == versions[1][-1].checksum
    for ours, theirs in zip(*(fact["reports"] for fact in first), strict=True):
        timed = {"seconds", "peak_memory_bytes"}
        assert {k: v for k, v in ours.items() if k not in timed} == {k: v for k, v in theirs.items() if k not in timed}
    assert reports_of(taught, phase_key(0, "sft_update")) and not reports_of(plain, phase_key(0, "sft_update"))


def sections(section: type[Section], path: str = "") -> Iterator[tuple[str, type[Section]]]:
    """(dotted path with a dot at its end, class) of a section and all below it."""
    yield path, section
    for name, field in section.model_fields.items():
        is_union = get_origin(field.annotation) in (UnionType, Union)
        for option in get_args(field.annotation) if is_union else (field.annotation,):
            kind = option.__origin__ if get_origin(option) is Annotated else option
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from sections(kind, f"{path}{name}.")


def test_a_key_that_no_section_knows_is_refused_and_none_has_two_names(tmp_path: Path) -> None:
    """Fault 22: clip was read under two names."""
    found = list(sections(RunConfig))
    assert {"", "rl.", "rl.optimizer.schedule.", "rl.loss.clip.", "sft.", "teacher.api."} < {path for path, _ in found}
    for path, section in found:
        misspelt = f"{path}{next(iter(section.model_fields))}s"
        kind = section.model_fields.get("kind")
        of_kind = [] if kind is None else [f"{path}kind={'my_module:name' if kind.is_required() else kind.default}"]
        with pytest.raises(ConfigError, match=f"{misspelt}: no such key"):
            load_recipe("demo", [*of_kind, f"{misspelt}=1"])
        assert all(field.validation_alias is None for field in section.model_fields.values())
    twice = tmp_path / "mine.toml"
    twice.write_text('[rl.loss]\nclip = "off"\nclip = { low = 0.2 }\n')
    with pytest.raises(ConfigError, match="is not TOML"):
        load_recipe(str(twice))


def test_a_batch_is_one_optimizer_step_and_waits_until_its_update_is_committed(opener: Opener) -> None:
    """Fault 24: one optimizer step, and no entry leaves before it is recorded."""
    settings: dict[str, Any] = {"change": taught_by(ReliftRuleConfig(batch_size=4))}
    run = opener(HARD, "policy.micro_batch_tokens=96", **settings)
    steps: list[int] = []

    def stop_after_step(*_: object) -> None:
        steps.append(1)
        run.stop.set()

    run.policy.optimizers[UpdateKind.SFT].register_step_post_hook(stop_after_step)
    rollouts = rollout(run, 0, run.base)
    verdicts = verify(run, 0, rollouts)
    gated = gate(run, 0, rollouts, verdicts)
    sourced = source(run, 0, gated)
    version = rl_update(run, 0, rollouts, verdicts, gated, run.base)
    with pytest.raises(Interrupted):
        sft_update(run, 0, rollouts, verdicts, gated, sourced, version)
    assert steps == [1], "the weights have moved"
    waiting = [entry.question_id for entry in run.interleaving.buffer.snapshot().waiting]
    assert len(waiting) > 4
    assert run.ledger.counts()["uses"] == 0
    run.__exit__()

    again = opener(HARD, "policy.micro_batch_tokens=96", **settings)
    drive(again, 1)
    (report,) = reports_of(again, phase_key(0, "sft_update"))
    assert (report.steps, report.sequences) == (1, 4)
    assert [entry.question_id for entry in again.interleaving.buffer.waiting] == waiting[4:]
    assert {q for (q,) in again.ledger.execute("SELECT question_id FROM uses")} == set(waiting[:4])


def taught_by(rule: ReliftRuleConfig) -> Callable[[RunConfig], RunConfig]:
    """With the defaults of everything else that teaches."""
    return lambda config: config.model_copy(update={"sft": SftConfig(), "teach": TeachConfig(rule=rule)})


def facts(run: Run, iteration: int, phase: str) -> Any:
    manifest = run.store.manifest(phase_key(iteration, phase))
    assert manifest is not None
    return manifest.facts


def metrics(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.root / METRICS).read_text().splitlines()]


def recorded_rollouts(run: Run, iteration: int, question: Question, texts: list[str]) -> PhaseRef:
    """A rollout phase that the policy never wrote."""
    group = [
        Completion(token_ids=(1,), logprobs=(0.0,), text=text, finish_reason=FinishReason.STOP, policy_version=0)
        for text in texts
    ]
    files = {ROLLOUTS: rollouts_to_parquet([question], [group])}
    return finish(run, iteration, "rollout", files, inputs="made up", counts={}, facts={"policy_version": 0})
