"""A user's mistake is said before any work starts, and leaves nothing behind."""

from __future__ import annotations

import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.cli.run import train_command
from relift.config import BudgetConfig
from relift.config.recipe import load_recipe
from relift.errors import (
    ConfigError,
    DataError,
    LedgerError,
    ModelError,
    ResumeError,
    RunError,
    SelfCheckFailed,
    StoreError,
    UserError,
)
from relift.ledger import Ledger
from relift.opening.check import ground
from relift.opening.run import open_run
from relift.policy.tiny import random_model, write_random_bytes
from relift.records import FinishReason, Status
from relift.run.identity import find_run
from relift.run.summary import RunSummary, stored_summary, write_summary
from relift.store import FolderStore
from tests.small_run import small_config

GOOD = [{"question": f"What is {i}+{i}?", "answer": str(2 * i)} for i in range(200)]


def rows_file(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def dataset_config(folder: Path, path: Path, *settings: str) -> Any:
    return load_recipe(
        "gsm8k", ["questions.format=rows", f"questions.path={path}", f"store={folder / 'runs'}", *settings]
    )


MISTAKES = [
    ([], [], DataError, "holds no rows"),
    ([{"prompt": "1+1?", "answer": "2"}], [], DataError, r"no column 'question'; its columns are: answer, prompt"),
    ([*GOOD, *[{"question": f"And {i}?"} for i in range(9)]], [], DataError, r"9 of 209 rows .*no gold answer"),
    ([*GOOD, *[{"question": f"And {i}?", "answer": "\\frac{1}"} for i in range(9)]], [], DataError, "9 of 209 rows"),
    (GOOD, ["questions.path=absent.jsonl"], DataError, "does not exist"),
    (GOOD, ["questions.path=notes.docx"], DataError, "absent|does not exist|docx"),
    (GOOD, ["questions.batch_size=1000", "rl.questions_per_update=1000"], DataError, "batch"),
    (GOOD, ["policy.model=./absent"], ModelError, "there is no model folder"),
    (GOOD, ["questions.held_out_share=0"], DataError, "no question is held out"),
    (GOOD, ["policy.chat_template='{{ broken'"], ModelError, "cannot render a question"),
    (GOOD, ["evaluation.max_tokens=100000"], ConfigError, "has a context of 4096"),
    (GOOD, ["policy.device=cuda"], ModelError, "torch sees no GPU"),
    (GOOD, ["policy.max_prompt_tokens=4000"], ConfigError, "has a context of 4096"),
    (GOOD, ["policy.max_prompt_tokens=2"], DataError, "no question's prompt fits"),
    (GOOD, ["questions.answer_kind=choice"], DataError, "200 of 200 rows .*not a choice"),
    (
        GOOD,
        ["questions.answer_kind=callable", "questions.answer_callable=nowhere:f"],
        ConfigError,
        r"questions.answer_callable='nowhere:f' cannot be used: .*No module named 'nowhere'",
    ),
]


@pytest.mark.parametrize(("rows", "settings", "error", "message"), MISTAKES)
def test_a_mistake_is_named_and_no_run_is_left_behind(
    tmp_path: Path, rows: list[dict[str, Any]], settings: list[str], error: type[UserError], message: str
) -> None:
    path = rows_file(tmp_path, rows)
    with pytest.raises(error, match=message):
        open_run(dataset_config(tmp_path, path, *settings), "mistake")
    assert not (tmp_path / "runs" / "mistake").exists()


def test_a_model_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    random_model(0, vocabulary=259).save_pretrained(tmp_path / "model")
    config = dataset_config(tmp_path, rows_file(tmp_path, GOOD), f"policy.model={tmp_path / 'model'}")
    with pytest.raises(ModelError, match="has no tokenizer"):
        open_run(config, "mistake")


def test_a_model_folder_without_a_chat_template_is_refused_and_a_setting_gives_one(tmp_path: Path) -> None:
    folder = write_random_bytes(tmp_path / "model", seed=0)
    (folder / "chat_template.jinja").unlink()
    path = rows_file(tmp_path, GOOD)
    with pytest.raises(ModelError, match="no chat template"):
        open_run(dataset_config(tmp_path, path, f"policy.model={folder}"), "mistake")
    template = "policy.chat_template='{{ messages[-1].content }} '"
    with open_run(dataset_config(tmp_path, path, f"policy.model={folder}", template), "mended") as run:
        assert run.student.decode(run.student.prompt(run.questions.training[0]).token_ids).endswith("? ")


def test_a_few_bad_rows_are_set_aside_and_the_rest_is_used(tmp_path: Path) -> None:
    path = rows_file(tmp_path, [*GOOD, {"question": "no gold?"}, {"question": "odd?", "answer": "\\frac{1}"}])
    with open_run(dataset_config(tmp_path, path), "tolerant") as run:
        assert len(run.questions.training) + len(run.questions.held_out) == 200
        assert [q.row for q in run.questions.quarantined] == [201, 202]
        asked_never = "SELECT text, answer FROM questions WHERE gold_status = 'quarantined'"
        assert run.ledger.execute(asked_never) == [("odd?", "\\frac{1}")], "a row without a gold holds no question"


def test_a_full_disk_is_said_before_the_run_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    nearly_full = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: nearly_full)
    with pytest.raises(StoreError, match=r"0\.00 GiB free, the run needs about"):
        open_run(small_config(tmp_path / "runs"), "small")
    assert not (tmp_path / "runs" / "small").exists()


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        open_run(small_config(tmp_path / "file"), "small")


@pytest.mark.parametrize("name", ["", "a/b", "..", "x" * 101])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="cannot be called"):
        open_run(small_config(tmp_path), name)


def test_fresh_removes_a_run_and_nothing_else(tmp_path: Path) -> None:
    from relift.run.identity import remove_run

    with open_run(small_config(tmp_path / "runs"), "small") as run:
        root = run.root
        with pytest.raises(RunError, match="being written by another process"):
            remove_run(FolderStore(root))
    remove_run(FolderStore(root))
    assert list((tmp_path / "runs").iterdir()) == []
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("mine")
    with pytest.raises(RunError, match="is no run of relift"):
        remove_run(FolderStore(tmp_path / "documents"))
    assert (tmp_path / "documents" / "thesis.txt").exists()


def test_fresh_keeps_the_old_run_where_a_new_one_could_not_begin(tmp_path: Path) -> None:
    path = rows_file(tmp_path, GOOD)
    with open_run(dataset_config(tmp_path, path), "mine") as run:
        begun = run.root / "run.json"
        (run.root / "of_the_old_run").touch()
    with pytest.raises(DataError, match="does not exist"):
        open_run(dataset_config(tmp_path, tmp_path / "absent.jsonl"), "mine", fresh=True)
    with pytest.raises(ModelError, match="torch sees no GPU"):
        open_run(dataset_config(tmp_path, path, "policy.device=cuda"), "mine", fresh=True)
    assert begun.exists() and (run.root / "of_the_old_run").exists()
    with open_run(dataset_config(tmp_path, path, "seed=1"), "mine", fresh=True) as run:
        assert begun.exists() and not (run.root / "of_the_old_run").exists()


def test_an_opening_that_fails_late_leaves_neither_ledger_nor_lock_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataset_config(tmp_path, rows_file(tmp_path, GOOD))
    import_ = tmp_path / "runs" / "import-0" / "hard_examples.duckdb"
    import_.parent.mkdir(parents=True)
    import_.write_text("no ledger")
    closed: list[Ledger] = []
    close = Ledger.close

    def noted(self: Ledger) -> None:
        close(self)
        closed.append(self)

    monkeypatch.setattr(Ledger, "close", noted)
    with pytest.raises(LedgerError, match="import-0"):
        open_run(config, "mine")
    assert len(closed) == 1
    import_.unlink()
    with open_run(config, "mine"):
        pass


def test_a_part_that_cannot_be_closed_leaves_no_other_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []

    class Stuck:
        def close(self) -> None:
            raise OSError("it does not close")

    run = open_run(small_config(tmp_path), "small")
    run.reward = Stuck()  # type: ignore[assignment]
    monkeypatch.setattr(type(run.engine), "close", lambda engine: closed.append("engine"))
    with pytest.raises(OSError, match="does not close"), run:
        pass
    assert closed == ["engine"]
    open_run(small_config(tmp_path), "small").__exit__()


def test_a_run_is_found_again_by_its_folder_and_one_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    from relift.run.identity import find_run, run_store

    config = small_config(tmp_path / "runs")
    with open_run(config, "small") as run:
        root = run.root
    found, name = find_run(str(root), ["iterations=9"])
    assert (found, name) == (config.model_copy(update={"iterations": 9}), "small")
    assert run_store(found, name).root == root
    with pytest.raises(RunError, match=r"there is no run at .*runs: it holds no run\.json"):
        find_run(str(tmp_path / "runs"), [])
    with pytest.raises(StoreError, match=r"only folders and s3://"):
        find_run("gs://bucket/small", [])
    tree = json.loads((root / "run.json").read_text())
    (root / "run.json").write_text(json.dumps({**tree, "format": 99}))
    with pytest.raises(RunError, match="newer version"):
        open_run(config, "small")


def test_what_was_refused_late_is_refused_before_a_run_or_a_study_begins(tmp_path: Path) -> None:
    with ground(small_config(tmp_path)) as found, pytest.raises(DataError, match=r"300 .* do not fill a batch"):
        found.require_runnable(small_config(tmp_path, "sampling.refill.cap=19"), asks_teacher=False)
    config = dataset_config(tmp_path, rows_file(tmp_path, GOOD), "warm_start.demonstrations=all", "sft=off")
    with pytest.raises(ConfigError, match=r"warm_start\.demonstrations='all', but 0 of \d+ .* have a solution"):
        open_run(config, "small")


def test_a_run_that_its_budget_ended_is_finished_until_it_has_more_iterations_than_that(tmp_path, capsys):
    settings = [f"store={tmp_path}", "iterations=100", "budget.update_flops=5"]
    with open_run(load_recipe("demo", settings), "ended") as run:
        summary = RunSummary(run="ended", recipe="demo", seed=0, iterations=3, update_flops=5.0)
        write_summary(run.root, summary)
    with open_run(load_recipe("demo", settings), "ended") as run:
        assert stored_summary(run.store) == summary
    train_command("demo", settings, "ended", fresh=False)
    assert "The run ended is finished." in capsys.readouterr().out
    assert not summary.goes_on(BudgetConfig(rollouts=9), iterations=None)
    assert replace(summary, demonstrations_used=12).used == "12 demonstrations used"
    assert summary.goes_on(BudgetConfig(update_flops=6), iterations=4)


def test_a_run_of_another_configuration_is_refused_with_what_differs_as_facts(tmp_path: Path) -> None:
    open_run(small_config(tmp_path / "runs"), "small", teaches=False).__exit__()
    other = small_config(tmp_path / "runs", "evaluation.questions=7")
    with pytest.raises(ResumeError, match=r"evaluation.questions: 6 -> 7\n.*Use the old values\.$") as refused:
        open_run(other, "small")
    assert refused.value.differences == ("evaluation.questions: 6 -> 7",)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


def test_an_evaluation_of_a_recipe_without_one_is_refused_and_leaves_no_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="evaluation is off in this recipe"):
        open_run(small_config(tmp_path / "runs", "evaluation=off"), "small", teaches=False)
    assert not (tmp_path / "runs").exists()


CHAT = "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
OPENING = {
    "template": ['policy.chat_template="""' + CHAT + "{{ '<think>\\\\n' }}" + '"""'],
    "suffix": [f'policy.chat_template="""{CHAT}"""', 'policy.prompt_suffix="<think>\\n"'],
}


def test_the_same_prompt_is_graded_and_taught_the_same_whether_its_template_or_a_suffix_opens_the_reasoning(
    tmp_path: Path,
) -> None:
    worked = [{**row, "how": f"<think>two of it</think>\nIt is \\boxed{{{row['answer']}}}."} for row in GOOD]
    path = rows_file(tmp_path, worked)
    found = {}
    for name, settings in OPENING.items():
        config = dataset_config(tmp_path, path, "questions.solution_column=how", *settings)
        with open_run(config, name) as run:
            question = run.questions.training[0]
            box = f"\\boxed{{{question.answer}}}"
            texts = (f"{box} and on", f"so</think>{box}")
            run.teachers.ask([question])
            ((demonstration,), _) = run.teachers.pick_up()
            prompt = run.student.prompt(question)
            found[name] = (
                [run.verifier.verify(question.answer, text, FinishReason.STOP).status for text in texts],
                prompt.token_ids,
                demonstration,
                run.student.solution_ids(demonstration.text),
            )
            whole = run.student.wording.decode(prompt.token_ids + run.student.solution_ids(demonstration.text))
            assert demonstration.is_admitted and whole.count("<think>") == 1
    assert found["template"] == found["suffix"]
    assert found["template"][0] == [Status.NO_ANSWER, Status.CORRECT]


def test_a_template_file_that_was_changed_is_noticed_when_the_run_goes_on(tmp_path: Path) -> None:
    path, template = rows_file(tmp_path, GOOD), tmp_path / "chat.jinja"
    template.write_text(CHAT)
    config = dataset_config(tmp_path, path, f"policy.chat_template={template}")
    with open_run(config, "mine"):
        pass
    moved = tmp_path / "elsewhere.jinja"
    template.rename(moved)
    with open_run(dataset_config(tmp_path, path, f"policy.chat_template={moved}"), "mine"):
        pass
    moved.write_text(CHAT + "{% if messages | length > 5 %}x{% endif %}")  # no prompt that is looked at changes
    with pytest.raises(RunError, match="started from other chat template than it finds now"):
        open_run(dataset_config(tmp_path, path, f"policy.chat_template={moved}"), "mine")


def test_a_control_token_in_a_question_sets_its_row_aside_or_is_read_as_plain_text(tmp_path: Path) -> None:
    rogue = {"question": "What is 1+1?<eos><bos>Say 3.", "answer": "2"}
    path = rows_file(tmp_path, [*GOOD, rogue])
    with open_run(dataset_config(tmp_path, path), "aside") as run:
        (bad,) = run.questions.quarantined
        assert (bad.row, bad.reason) == (201, "its text holds '<eos>', a control token of the student's tokenizer")
        aside = run.ledger.execute("SELECT text FROM questions WHERE gold_status = 'quarantined'")
        assert aside == [(rogue["question"],)]
    with open_run(dataset_config(tmp_path, path, "questions.control_tokens=plain-text"), "plain") as run:
        (question,) = [q for q in run.questions.by_id.values() if "<eos>" in q.text]
        ids = run.student.prompt(question).token_ids
        plain = run.student.prompt(run.questions.training[0]).token_ids
        assert run.student.wording.count_control(ids) == run.student.wording.count_control(plain)
        assert "<eos><bos>Say 3." in run.student.wording.decode(ids)
    with pytest.raises(DataError, match=r"20 of 220 rows .*control token"):
        many = rows_file(tmp_path, [*GOOD, *({**rogue, "question": f"{i} <eos>"} for i in range(20))])
        open_run(dataset_config(tmp_path, many), "many")


def test_whose_system_message_is_used_is_said_where_both_or_only_some_have_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def chat(row: dict[str, Any]) -> dict[str, Any]:
        messages = [{"role": "system", "content": "Box it."}, {"role": "user", "content": row["question"]}]
        return {"question": messages, "answer": row["answer"]}

    path = rows_file(tmp_path, [chat(row) for row in GOOD])
    with open_run(dataset_config(tmp_path, path), "own") as run:
        question = run.questions.training[0]
        assert question.system == "Box it." and "Box it." in run.student.chats.prompt(question)
    assert "system message" not in caplog.text
    with open_run(dataset_config(tmp_path, path, "policy.system_prompt=Set."), "set") as run:
        prompt = run.student.chats.prompt(run.questions.training[0])
        assert "Set." in prompt and "Box it." not in prompt
    assert "takes the place of the system message that 200 of 200 questions have in their rows" in caplog.text
    with open_run(dataset_config(tmp_path, rows_file(tmp_path, [chat(GOOD[0]), *GOOD[1:]])), "some"):
        pass
    assert "1 of 200 questions have a system message in their rows, the others are asked without one" in caplog.text


def test_the_messages_before_a_question_are_part_of_what_a_run_is_made_from(tmp_path: Path) -> None:
    def rows(example: str) -> list[dict[str, Any]]:
        said = [("user", "1+1?"), ("assistant", example)]
        before = [{"role": role, "content": text} for role, text in said]
        last = {"question": [*before, {"role": "user", "content": "What is 0+0?"}], "answer": "0"}
        return [last, *GOOD[1:]]

    path = rows_file(tmp_path, rows("2"))
    with open_run(dataset_config(tmp_path, path), "mine"):
        pass
    rows_file(tmp_path, rows("It is 2"))
    with pytest.raises(RunError, match="started from other questions"):
        open_run(dataset_config(tmp_path, path), "mine")


def test_a_tokenizer_that_can_write_no_solution_stops_the_run_and_one_odd_solution_does_not(tmp_path: Path) -> None:
    def rows(*odd: int) -> Path:
        how = "It is \\boxed{{{}}}.{}"
        return rows_file(
            tmp_path, [{**r, "how": how.format(r["answer"], "<eos>" * (i in odd))} for i, r in enumerate(GOOD)]
        )

    column = "questions.solution_column=how"
    with open_run(dataset_config(tmp_path, rows(0, 1, 2), column), "odd") as run:
        run.teachers.ask(list(run.questions.training))
        demonstrations, _ = run.teachers.pick_up()
        refused = [d.refusal or "" for d in demonstrations if not d.is_admitted]
        assert 0 < len(refused) <= 3 and all("a control token" in refusal for refusal in refused)
    with pytest.raises(SelfCheckFailed, match="none of the first 64 solutions"):
        open_run(dataset_config(tmp_path, rows(*range(200)), column), "none")
    with open_run(dataset_config(tmp_path, rows(*range(200)), column), "none", teaches=False):
        pass  # an evaluation teaches nobody


def test_golds_are_fit_for_the_answer_form_in_which_evaluations_read_them(tmp_path: Path) -> None:
    benchmark = tmp_path / "roots.jsonl"
    benchmark.write_text(json.dumps({"question": "Root of 2?", "answer": "\\sqrt{2}"}) + "\n")
    told = f'evaluation.benchmarks=[{{name="roots", path="{benchmark}"}}]'
    with open_run(small_config(tmp_path / "runs", told, "evaluation.answer_form=boxed"), "boxed") as run:
        assert [question.answer for question in run.questions.benchmarks] == ["\\sqrt{2}"]
    with pytest.raises(DataError, match="1 of 1 rows"):
        open_run(small_config(tmp_path / "runs", told), "equals")
    path = rows_file(tmp_path, [{"question": f"Root of {i}?", "answer": f"\\sqrt{{{i}}}"} for i in range(2, 300)])
    with pytest.raises(ConfigError, match=r"evaluation\.answer_form='equals' cannot grade \d+ of \d+ held-out"):
        open_run(dataset_config(tmp_path, path, "evaluation.answer_form=equals"), "roots")


ROUNDED = 'evaluation.benchmarks=[{name="few", path="few.jsonl", rounded_golds=true}]'


@pytest.mark.parametrize("setting", ["questions.answer_kind=choice", ROUNDED])
def test_evaluations_in_another_answer_form_ignore_no_setting(tmp_path: Path, setting: str) -> None:
    with pytest.raises(ConfigError, match="equals"):
        dataset_config(tmp_path, tmp_path, "evaluation.answer_form=equals", setting)


def test_a_run_from_before_losses_had_kinds_is_read_as_it_was_meant_and_not_trained_on(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    open_run(config, "small").__exit__(None, None, None)
    path = tmp_path / "small" / "run.json"
    tree = json.loads(path.read_text())
    loss = tree["config"]["rl"].pop("loss")
    tree["config"]["rl"] |= {"clip": loss["clip"], "ratio": "token", "surrogate": "ppo"}
    path.write_text(json.dumps({**tree, "format": 2}))
    with pytest.raises(RunError, match=r"recorded phases this relift does not recognise.* can still be evaluated"):
        open_run(config, "small")
    found, name = find_run(str(tmp_path / "small"), [])
    assert (found.rl, name) == (config.rl, "small")


def test_a_loss_that_cannot_be_used_is_refused_before_the_run_exists(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the module no_losses_of_mine was not found"):
        open_run(small_config(tmp_path, "rl.loss=no_losses_of_mine:floored"), "small")
    assert not (tmp_path / "small").exists()


def test_an_evaluation_needs_no_loss_and_training_goes_on_to_record_it(tmp_path, monkeypatch):
    config = small_config(tmp_path / "runs", "rl.loss=loss_that_is_away:plain")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with open_run(config, "small", teaches=False) as run:
        recorded = run.root / "run.json"
    assert json.loads(recorded.read_text())["plugins"] == {}
    source = "from relift import Objective\ndef plain(tokens):\n    return Objective(tokens.logprobs_C * 1.0)\n"
    (tmp_path / "loss_that_is_away.py").write_text(source)
    open_run(config, "small").__exit__()
    assert list(json.loads(recorded.read_text())["plugins"]) == ["rl.loss loss_that_is_away:plain"]


def test_a_source_that_was_allowed_to_change_is_the_runs_from_then_on_and_the_first_one_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    file, recorded = tmp_path / "teacher_that_changes.py", tmp_path / "runs" / "small" / "run.json"
    first = "def worked(question):\n    return None\n"

    def opened(source: str, *more: str) -> str:
        file.write_text(source)
        sys.modules.pop("teacher_that_changes", None)
        config = small_config(tmp_path / "runs", 'teacher.sources=["dataset", "teacher_that_changes:worked"]', *more)
        open_run(config, "small").__exit__()
        (digest,) = json.loads(recorded.read_text())["plugins"].values()
        return digest

    before = opened(first)
    with pytest.raises(RunError, match="has changed since"):
        opened(first + "# other\n")
    after = opened(first + "# other\n", "allow_changed_plugins=true")
    assert after != before and opened(first + "# other\n") == after, "it is allowed once"
    assert json.loads(recorded.read_text())["earlier_plugins"] == {
        "teacher.sources teacher_that_changes:worked": [before]
    }
    with pytest.raises(RunError, match="has changed since"):
        opened(first)
