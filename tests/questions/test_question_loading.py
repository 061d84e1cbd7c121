"""Datasets in: formats, folding, the split, and rows that are set aside."""

from __future__ import annotations

import dataclasses
import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relift.config import BenchmarkConfig, QuestionsConfig
from relift.errors import DataError
from relift.questions import load_questions, with_benchmarks
from relift.questions.spelling import spelling
from relift.records import Turn, question_id
from relift.verifier import Comparison, Verifier

DATA = Path(__file__).parents[1] / "data"
FOREIGN = os.environ.get("RELIFT_DATA")
needs_foreign_data = pytest.mark.skipif(not FOREIGN, reason="RELIFT_DATA names no folder")


def rows_config(path: str, **changes) -> QuestionsConfig:
    return QuestionsConfig(format="rows", path=path, held_out_share=0.0, **changes)


def test_jsonl_rows_become_questions_in_file_order(jsonl, verifier):
    path = jsonl(
        {"q": "What is 1+1?", "gold": 2, "how": "1+1 is 2", "more": [1]},
        {"q": "Half of one?", "gold": 0.5, "how": None},
        {"q": "Root of 2?", "gold": r"\sqrt{2}", "how": "by definition"},
    )
    loaded = load_questions(
        rows_config(path, text_column="q", answer_column="gold", solution_column="how"), seed=0, verifier=verifier
    )
    assert [(q.text, q.answer, q.solution, q.source) for q in loaded.training] == [
        ("What is 1+1?", "2", "1+1 is 2", "train"),
        ("Half of one?", "0.5", None, "train"),
        ("Root of 2?", r"\sqrt{2}", "by definition", "train"),
    ]
    assert loaded.by_id[question_id("What is 1+1?")] == loaded.training[0]


def test_parquet_rows_are_the_same_questions_as_jsonl_rows(jsonl, verifier, tmp_path):
    rows = [{"question": f"What is {n}+1?", "answer": str(n + 1), "junk": "x" * 50} for n in range(20)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    from_parquet = load_questions(rows_config(str(tmp_path / "train.parquet")), seed=0, verifier=verifier)
    from_jsonl = load_questions(rows_config(jsonl(*rows)), seed=0, verifier=verifier)
    assert from_parquet == from_jsonl
    assert len(from_parquet.training) == 20


def test_a_dot_leads_into_a_struct_unless_the_column_is_named_so(jsonl, verifier, tmp_path):
    rows = [{"question": "1+1?", "meta.gold": "2", "how": {"text": "by hand"}}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "dots.parquet")
    for path in (jsonl(*rows), str(tmp_path / "dots.parquet")):
        config = rows_config(path, answer_column="meta.gold", solution_column="how.text")
        (question,) = load_questions(config, seed=0, verifier=verifier).training
        assert (question.answer, question.solution) == ("2", "by hand")


def test_a_folder_of_shards_is_one_dataset(jsonl, verifier, tmp_path):
    jsonl({"question": "1+1?", "answer": "2"}, name="train-00000-of-00002.jsonl")
    jsonl({"question": "1+2?", "answer": "3"}, {"question": "1+1?", "answer": "2"}, name="train-00001-of-00002.jsonl")
    loaded = load_questions(rows_config(str(tmp_path)), seed=0, verifier=verifier)
    assert [(q.text, q.repeats) for q in loaded.training] == [("1+1?", 2), ("1+2?", 1)]


def test_gsm8k_rows_keep_the_solution_and_take_the_gold_after_the_marker(verifier):
    config = QuestionsConfig(format="gsm8k", path=str(DATA / "gsm8k_200.parquet"))
    loaded = load_questions(config, seed=0, verifier=verifier)
    assert len(loaded.by_id) == 200
    assert not loaded.quarantined
    natalia = loaded.by_id[
        question_id(next(q.text for q in loaded.training if q.text.startswith("Natalia sold clips")))
    ]
    assert natalia.answer == "72"
    assert natalia.source == "gsm8k"
    assert natalia.solution.endswith("<<48+24=72>>72 clips altogether in April and May.\n#### 72")


def test_reference_rows_take_the_question_what_comes_before_it_and_the_target(jsonl, verifier):
    chat = [{"role": "system", "content": "Think."}, {"role": "user", "content": "What is 2*3?"}]
    gold = {"ground_truth": "6", "style": "rule"}
    target = [{"role": "assistant", "content": r"It is \boxed{6}"}]
    rows = [
        {"data_source": "math", "prompt": chat, "reward_model": gold, "target": target},
        {"data_source": "math", "prompt": [{"role": "user", "content": "2*4?"}], "reward_model": {"ground_truth": "8"}},
    ]
    config = QuestionsConfig(format="reference", path=jsonl(*rows), held_out_share=0.0)
    loaded = load_questions(config, seed=0, verifier=verifier)
    assert [(q.text, q.answer, q.source, q.solution) for q in loaded.training] == [
        ("What is 2*3?", "6", "reference/math", r"It is \boxed{6}"),
        ("2*4?", "8", "reference/math", None),
    ]
    assert [q.system for q in loaded.training] == ["Think.", None]
    assert [q.turns for q in loaded.training] == [(Turn(role="system", text="Think."),), ()]


def test_a_chat_keeps_its_worked_examples_whatever_the_format_and_the_id_goes_by_the_question_alone(jsonl, verifier):
    chat = [("system", ""), ("user", "1+1?"), ("assistant", "2"), ("user", "2*3?")]
    messages = [{"role": role, "content": text} for role, text in chat]
    rows = [{"question": messages, "answer": "6"}]
    (question,) = load_questions(rows_config(jsonl(*rows)), seed=0, verifier=verifier).training
    assert (question.id, question.text) == (question_id("2*3?"), "2*3?")
    assert [(turn.role, turn.text) for turn in question.turns] == chat[:-1]
    pq.write_table(pa.Table.from_pylist(rows), Path(jsonl(*rows)).with_name("rows.parquet"))
    parquet = rows_config(str(Path(jsonl(*rows)).with_name("rows.parquet")))
    assert load_questions(parquet, seed=0, verifier=verifier).training == (
        dataclasses.replace(question, source="rows"),
    )


BAD_CHATS = {
    "its chat has 0 messages": [],
    "1 in it a str": ["2*3?"],
    "has the role 'tool'": [("tool", "x"), ("user", "2*3?")],
    "message 2 of its chat is a list": [("system", "a"), ("user", ["parts"])],
    "no text in message 1": [("user", " ")],
    "its chat goes user, assistant; read is": [("user", "2*3?"), ("assistant", "6")],
    "its chat goes system;": [("system", "a")],
    "its chat goes user, user;": [("user", "a"), ("user", "2*3?")],
    "its chat goes user, system, user;": [("user", "a"), ("system", "b"), ("user", "2*3?")],
}


@pytest.mark.parametrize("reason", BAD_CHATS)
def test_a_chat_that_templates_would_read_in_different_ways_is_set_aside(jsonl, verifier, reason):
    chat = [m if isinstance(m, str) else {"role": m[0], "content": m[1]} for m in BAD_CHATS[reason]]
    good = [{"question": f"{n}+1?", "answer": str(n + 1)} for n in range(9)]
    path = jsonl(*good, {"question": chat, "answer": "6"})
    (bad,) = load_questions(rows_config(path, max_bad_share=0.1), seed=0, verifier=verifier).quarantined
    assert reason in bad.reason and bad.row == 10


def test_a_question_that_comes_with_different_messages_before_it_is_set_aside(jsonl, verifier):
    def row(system):
        return {"question": [{"role": "system", "content": system}, {"role": "user", "content": "2*3?"}], "answer": "6"}

    path = jsonl(row("a"), row("b"), {"question": "1+1?", "answer": "2"})
    loaded = load_questions(rows_config(path, max_bad_share=0.7), seed=0, verifier=verifier)
    assert [q.text for q in loaded.training] == ["1+1?"]
    assert [bad.row for bad in loaded.quarantined] == [1, 2]
    assert "different messages before it" in loaded.quarantined[0].reason
    again = load_questions(rows_config(jsonl(row("a"), row("a"))), seed=0, verifier=verifier)
    assert [q.repeats for q in again.training] == [2]


def test_what_the_caller_speaks_against_is_set_aside_and_counts_as_bad(jsonl, verifier):
    path = jsonl(*[{"question": f"{n}+1?", "answer": str(n + 1)} for n in range(10)])

    def fault_of(question):
        return "no threes" if question.text.startswith("3") else None

    loaded = load_questions(rows_config(path, max_bad_share=0.1), seed=0, verifier=verifier, fault_of=fault_of)
    assert [(bad.row, bad.reason, bad.question.text) for bad in loaded.quarantined] == [(4, "no threes", "3+1?")]
    with pytest.raises(DataError, match=r"1 of 10 rows .*no threes"):
        load_questions(rows_config(path, max_bad_share=0.05), seed=0, verifier=verifier, fault_of=fault_of)


def test_the_parquet_of_the_reference_reads_only_the_leaves_it_needs(verifier, tmp_path):
    row = {
        "data_source": "aime",
        "prompt": [{"content": "Be brief.", "role": "system"}, {"content": "2*3?", "role": "user"}],
        "target": [{"content": r"\boxed{6}", "role": "assistant"}],
        "reward_model": {"ground_truth": "6", "style": "rule"},
        "extra_info": {"index": 0, "split": "default"},
    }
    pq.write_table(pa.Table.from_pylist([row] * 8), tmp_path / "valid.parquet")
    config = QuestionsConfig(format="reference", path=str(tmp_path / "valid.parquet"), held_out_share=1.0)
    (question,) = load_questions(config, seed=0, verifier=verifier).held_out
    assert (question.text, question.answer, question.solution) == ("2*3?", "6", r"\boxed{6}")
    assert (question.source, question.repeats) == ("reference/aime", 8)


def test_repeats_fold_by_value_and_conflicting_golds_are_set_aside(jsonl, verifier):
    path = jsonl(
        {"question": "half?", "answer": "0.5"},
        {"question": "half?", "answer": r"\frac{1}{2}"},
        {"question": " half? ", "answer": "1/2"},
        {"question": "two?", "answer": "2"},
        {"question": "two?", "answer": "3"},
    )
    loaded = load_questions(rows_config(path, max_bad_share=0.5), seed=0, verifier=verifier)
    assert [(q.text, q.answer, q.repeats) for q in loaded.training] == [("half?", "0.5", 3)]
    assert [(bad.file, bad.row) for bad in loaded.quarantined] == [("train.jsonl", 4), ("train.jsonl", 5)]
    assert "different gold answers" in loaded.quarantined[0].reason


def test_bad_rows_are_set_aside_with_their_row_and_reason_and_logged_once(jsonl, verifier, caplog):
    good = [{"question": f"What is {n}+1?", "answer": str(n + 1)} for n in range(93)]
    bad = [
        {"question": "  ", "answer": "2"},
        {"answer": "2"},
        {"question": "no gold?", "answer": ""},
        {"question": "no gold key?"},
        {"question": "damaged gold?", "answer": r"\frac{1}{"},
        {"question": "not a number?", "answer": float("nan")},
        {"question": ["a list"], "answer": "2"},
        {"question": "half a pair \ud800?", "answer": "2"},
    ]
    loaded = load_questions(rows_config(jsonl(*good, *bad), max_bad_share=0.1), seed=0, verifier=verifier)
    assert len(loaded.training) == 93
    assert [row.row for row in loaded.quarantined] == list(range(94, 102))
    wanted = ["question text", "question text", "gold", "gold", "frac", "nan", "list", "surrogate"]
    for row, word in zip(loaded.quarantined, wanted, strict=True):
        assert word in row.reason
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "8 of 101 rows" in warnings[0].getMessage()


def test_more_bad_rows_than_allowed_refuse_the_dataset_and_name_the_first(jsonl, verifier):
    rows = [{"question": f"{n}?", "answer": "" if n == 1 else str(n)} for n in range(10)]
    path = jsonl(*rows)
    assert len(load_questions(rows_config(path, max_bad_share=0.1), seed=0, verifier=verifier).training) == 9
    with pytest.raises(DataError, match=r"1 of 10 rows .*train\.jsonl row 2: no gold answer.*questions\.max_bad_share"):
        load_questions(rows_config(path, max_bad_share=0.09), seed=0, verifier=verifier)


def test_the_held_out_split_depends_on_the_text_alone(jsonl, verifier):
    rows = [{"question": f"What is {n}+1?", "answer": str(n + 1)} for n in range(400)]
    split = QuestionsConfig(path=jsonl(*rows), held_out_share=0.25)
    whole = load_questions(split, seed=0, verifier=verifier)
    other = load_questions(split.model_copy(update={"path": jsonl(*rows[::-1][:200])}), seed=7, verifier=verifier)
    assert 70 <= len(whole.held_out) <= 130  # 100 expected, standard deviation 8.7
    assert not {q.id for q in whole.training} & {q.id for q in whole.held_out}
    assert len(whole.by_id) == 400
    assert {q.id for q in other.held_out} == {q.id for q in whole.held_out} & set(other.by_id)


def test_count_keeps_a_fixed_choice_of_training_questions_in_file_order(jsonl, verifier):
    rows = [{"question": f"What is {n}+1?", "answer": str(n + 1)} for n in range(100)]
    path = jsonl(*rows)
    all_ids = [q.id for q in load_questions(rows_config(path), seed=0, verifier=verifier).training]
    some = [q.id for q in load_questions(rows_config(path, count=30), seed=3, verifier=verifier).training]
    assert len(some) == 30
    assert some == [one for one in all_ids if one in set(some)]
    assert some != all_ids[:30]


def test_arithmetic_gives_both_sides_without_a_file():
    config = QuestionsConfig(
        format="arithmetic", answer_form="equals", families={"add2": 3, "mul2": 1}, count=40, batch_size=8
    )
    with Verifier("equals") as verifier:
        loaded = load_questions(config, seed=0, verifier=verifier, held_out_per_family=5)
    assert sum(q.repeats for q in loaded.training) == 40
    assert sum(q.source == "arithmetic/mul2" for q in loaded.training) == 10
    assert [q.source for q in loaded.held_out] == ["arithmetic/add2"] * 5 + ["arithmetic/mul2"] * 5
    assert len(loaded.by_id) == len(loaded.training) + 10


@needs_foreign_data
def test_every_question_of_gsm8k_loads(verifier):
    for name, count in (("gsm8k_train.parquet", 7_473), ("gsm8k_test.parquet", 1_319)):
        config = QuestionsConfig(format="gsm8k", path=str(Path(FOREIGN) / name))
        loaded = load_questions(config, seed=0, verifier=verifier)
        assert len(loaded.by_id) == count
        assert not loaded.quarantined


@needs_foreign_data
def test_the_reference_benchmarks_load_with_their_repeats_sources_and_golds(verifier):
    path = Path(FOREIGN) / "reference_benchmarks.parquet"
    config = QuestionsConfig(format="reference", path=str(path), held_out_share=1.0)
    loaded = load_questions(config, seed=0, verifier=verifier)
    assert len(loaded.held_out) == 1_318
    assert not loaded.quarantined
    assert sum(q.repeats for q in loaded.held_out) == 1_987
    wanted = {"olympiad_bench": (675, 1), "math": (500, 1), "amc": (83, 4), "aime": (30, 8), "aime25": (30, 8)}
    for part, (count, repeats) in wanted.items():
        found = [q.repeats for q in loaded.held_out if q.source == f"reference/{part}"]
        assert found == [repeats] * count
    rows = pq.read_table(path, columns=["prompt", "reward_model"]).to_pylist()
    golds = {row["prompt"][1]["content"]: row["reward_model"]["ground_truth"] for row in rows}
    assert {q.text: q.answer for q in loaded.held_out} == golds


def test_golds_are_checked_many_at_a_time_by_all_workers(jsonl, monkeypatch):
    rows = [{"question": f"Question {n}?", "answer": rf"\sum_{{k=1}}^{{{n + 2}}} a_{{k}}"} for n in range(30)]
    path = jsonl(
        *rows, {"question": "Bad?", "answer": r"\frac{1}"}, {"question": "Text?", "answer": 3}, {"question": "?"}
    )
    with Verifier("boxed", workers=2) as verifier:
        asked: list[int] = []
        check = verifier.read_golds
        monkeypatch.setattr(verifier, "read_golds", lambda golds: asked.append(len(golds)) or check(golds))
        loaded = load_questions(rows_config(path, max_bad_share=0.1), seed=0, verifier=verifier)
        assert asked == [32]
        assert verifier.pool.started == 2
    assert len(loaded.by_id) == 31
    assert [(bad.row, bad.reason.partition(":")[0]) for bad in loaded.quarantined] == [
        (31, r"gold answer '\\frac{1}'"),
        (33, "no gold answer"),
    ]


@pytest.mark.parametrize(
    ("column", "golds"),
    [
        (pa.array([0.1, 3.0, 1e22, -0.0, 2.5e-7], pa.float32()), ["0.1", "3", "1" + "0" * 22, "0", "0.00000025"]),
        (pa.array([0.1, 1 / 3, 1e22, -0.0, 72.0]), ["0.1", "0.3333333333333333", "1" + "0" * 22, "0", "72"]),
        (pa.array([Decimal("1.50"), Decimal("-0.00"), Decimal("100")], pa.decimal128(9, 2)), ["1.5", "0", "100"]),
        (pa.array([7, 255], pa.uint8()), ["7", "255"]),
        (pa.array([-(2**63), 2**63 - 1]), ["-9223372036854775808", "9223372036854775807"]),
        (pa.array(["0.10", "007"]).dictionary_encode(), ["0.10", "007"]),
    ],
    ids=["float32", "float64", "decimal", "uint8", "int64", "dictionary of text"],
)
def test_a_number_in_a_column_is_the_shortest_decimal_of_its_own_type(column, golds, tmp_path, verifier):
    texts = [f"Number {n}?" for n in range(len(golds))]
    pq.write_table(pa.table({"question": texts, "answer": column}), tmp_path / "a.parquet")
    loaded = load_questions(rows_config(str(tmp_path / "a.parquet")), seed=0, verifier=verifier)
    assert [q.answer for q in loaded.training] == golds


def test_narrow_floats_are_read_so_in_arrow_and_in_structs_too(tmp_path, verifier):
    half = pa.array(np.array([0.1, 2.0], np.float16))
    inside = pa.StructArray.from_arrays([half.cast(pa.float32()), half], names=["single", "half"])
    table = pa.table({"question": ["one?", "two?"], "gold": inside})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    for name, wanted in (("half", ["0.1", "2"]), ("single", ["0.099975586", "2"])):
        config = rows_config(str(tmp_path / "a.arrow"), answer_column=f"gold.{name}")
        assert [q.answer for q in load_questions(config, seed=0, verifier=verifier).training] == wanted


def test_what_is_no_gold_is_set_aside_by_row_with_what_it_is(jsonl, verifier):
    golds = [True, float("nan"), float("inf"), [1], {"a": 1}, "1\0", 1e400, 0.1]
    path = jsonl(*({"question": f"{n}?", "answer": gold} for n, gold in enumerate(golds)))
    loaded = load_questions(rows_config(path, max_bad_share=1.0), seed=0, verifier=verifier)
    assert [q.answer for q in loaded.training] == ["0.1"]
    reasons = [bad.reason for bad in loaded.quarantined]
    wanted = ["gold answer is true, neither", "is nan", "is inf", "is a list", "is a dict", "NUL", "is inf"]
    assert all(word in reason for word, reason in zip(wanted, reasons, strict=True)), reasons


def test_golds_that_are_whole_solutions_refuse_the_dataset_and_say_what_to_set(verifier, tmp_path):
    config = rows_config(str(DATA / "gsm8k_200.parquet"))
    with pytest.raises(DataError) as raised:
        load_questions(config, seed=0, verifier=verifier)
    message = str(raised.value)
    assert "200 of 200 rows" in message and "(100.0%)" in message
    assert "200 of them for a gold that only the same text will match" in message
    assert "gsm8k_200.parquet row 1: " in message and "row 3: " in message and "row 4: " not in message
    assert 'set questions.format = "gsm8k"' in message
    rows = pq.read_table(DATA / "gsm8k_200.parquet").to_pylist()
    prose = [{**row, "answer": row["answer"].partition("\n####")[0]} for row in rows]
    pq.write_table(pa.Table.from_pylist(prose), tmp_path / "prose.parquet")
    with pytest.raises(DataError, match=r"name the column of the bare answers in questions\.answer_column"):
        load_questions(rows_config(str(tmp_path / "prose.parquet")), seed=0, verifier=verifier)


def test_a_few_golds_in_words_stay_in_use_with_one_line_for_all(jsonl, verifier, caplog):
    good = [{"question": f"What is {n}+1?", "answer": str(n + 1)} for n in range(96)]
    words = ["$t(0,4]$", "Add three to both sides.\nThen x is 5.", "The rent of each room is fifty yuan at most in all"]
    rows = [*good, *({"question": f"And {n}?", "answer": text} for n, text in enumerate([*words, "Paris"]))]
    loaded = load_questions(rows_config(jsonl(*rows), max_bad_share=0.03), seed=0, verifier=verifier)
    assert len(loaded.training) == 100 and not loaded.quarantined
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "3 of 100 rows" in warning and "train.jsonl row 97: '$t(0,4]$'" in warning
    with pytest.raises(DataError, match=r"3 of 100 rows .*\(3\.0%\).*questions\.max_bad_share \(now 0\.029\)"):
        load_questions(rows_config(jsonl(*rows), max_bad_share=0.029), seed=0, verifier=verifier)


def test_golds_that_are_meant_as_text_are_compared_as_text(jsonl):
    rows = [
        {"question": f"{n}?", "answer": f"The {n}th of the words that are asked for in this long list"}
        for n in range(9)
    ]
    with Verifier("boxed", comparison=Comparison(kind="text")) as verifier:
        loaded = load_questions(rows_config(jsonl(*rows), answer_kind="text"), seed=0, verifier=verifier)
    assert len(loaded.training) == 9


SPELLINGS = [
    "What is the value of $2x + 1$ for x = {n}?",
    "what is the value of 2x+1 for x={n} ?",
    "  What is  the value of \\(2x+1\\) for $x={n}$.",
    "WHAT IS THE VALUE OF 2\uff58 \uff0b 1 FOR X = {n}",
    "**What is the value of** 2x + 1, for x = {n}?",
]


def test_two_spellings_of_a_question_stand_on_one_side_of_the_split(jsonl, verifier):
    rows = [{"question": text.format(n=n), "answer": str(2 * n + 1)} for n in range(60) for text in SPELLINGS]
    config = QuestionsConfig(path=jsonl(*rows), held_out_share=0.5)
    loaded = load_questions(config, seed=0, verifier=verifier)
    assert len(loaded.by_id) == 300, "an id keeps the spelling"
    sides = [{q.text for q in side} for side in (loaded.training, loaded.held_out)]
    for n in range(60):
        assert sum(any(text.format(n=n) in side for text in SPELLINGS) for side in sides) == 1, n
    assert 15 * 5 <= len(loaded.held_out) <= 45 * 5


def test_a_questions_spelling_keeps_what_makes_it_another(verifier):
    others = [
        "1+2?",
        "1-2?",
        "1*2?",
        "1/2?",
        "1<2?",
        "1 = 2?",
        "1 2 3?",
        "x^2?",
        "|x|?",
        "1 \u2264 2?",
        "1%2?",
        "?",
        "??",
    ]
    assert len({spelling(text) for text in others}) == len(others)


def test_a_benchmarks_question_in_another_spelling_is_not_trained_on(jsonl, verifier, tmp_path):
    own = load_questions(
        rows_config(jsonl(*({"question": SPELLINGS[0].format(n=n), "answer": "1"} for n in range(20)))),
        seed=0,
        verifier=verifier,
    )
    path = jsonl(*({"question": SPELLINGS[1].format(n=n), "answer": "1"} for n in range(5)), name="test.jsonl")
    kept = with_benchmarks(own, [BenchmarkConfig(name="b", path=path)], answer_form="boxed", verifier=verifier)
    assert [q.text for q in kept.training] == [SPELLINGS[0].format(n=n) for n in range(5, 20)]
