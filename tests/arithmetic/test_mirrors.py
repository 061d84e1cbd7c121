"""What is the same question but for the order of its terms and factors."""

from __future__ import annotations

import hashlib
from itertools import islice, permutations
from random import Random

import pytest

from relift.arithmetic import FAMILIES, arithmetic_questions, held_out_questions
from relift.arithmetic.corpus import MEASURED_SEEDS, corpus
from relift.arithmetic.mirrors import canonical, mirrors_of

DEMO = ["add3", "sub3", "mul1", "add5", "prod2", "mulsub", "mul2", "eq", "par"]


@pytest.mark.parametrize(
    "mirrors",
    [
        ["7*8?", "8*7?"],
        ["300*20?", "20*300?"],
        ["+".join(order) + "?" for order in permutations(["4", "13", "13", "40", "2"])],
        ["71-12-57?", "71-57-12?"],
        ["70*5+4*9?", "70*5+9*4?", "4*9+70*5?", "9*4+5*70?"],
        ["8*9-45?", "9*8-45?"],
        ["11+64-30?", "64+11-30?", "64-30+11?"],
        ["(13+8)*4?", "(8+13)*4?", "4*(8+13)?"],
        ["(20-3)*4?", "4*(20-3)?"],
        ["x+18=50?", "18+x=50?", "50=x+18?"],
    ],
)
def test_mirrors_have_one_canonical_form(mirrors):
    assert len({canonical(mirror) for mirror in mirrors}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7*8?", "70*8?"),
        ("700*8?", "70*80?"),  # equal in value is not the same question
        ("71-12-57?", "57-12-71?"),
        ("71-12?", "12-71?"),
        ("70*5+4*9?", "70*4+5*9?"),
        ("8*9-45?", "8*9+45?"),
        ("(13+8)*4?", "(13+4)*8?"),
        ("(20-3)*4?", "(3-20)*4?"),
        ("x+18=50?", "x+50=18?"),
        ("x-18=50?", "x+18=50?"),
        ("-18+50?", "50-18?"),  # that these are one is what negsum asks
        ("-18+50?", "-50+18?"),
        ("12+3?", "1+23?"),
    ],
)
def test_other_questions_have_another(one, other):
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_canonical_form_keeps_every_figure_and_sign_of_any_family(name):
    random = Random(f"mirrors/{name}")
    for _ in range(200):
        text = FAMILIES[name].draw(random).question
        kept = canonical(text).replace("+", "")
        assert sorted(kept) == sorted(text.replace("+", "").removesuffix("?")), text


@pytest.mark.parametrize("seed", range(4))
def test_no_training_question_mirrors_one_that_is_measured_on(seed):
    measured = mirrors_of(held_out_questions(DEMO, 400, seed))
    training = arithmetic_questions(dict.fromkeys(DEMO, 1.0), 7200, seed)
    assert not measured & mirrors_of(training)


def test_who_measures_on_more_questions_trains_on_no_mirror_of_those_either():
    measured = mirrors_of(held_out_questions(["prod2"], 1500, seed=0))
    assert measured & mirrors_of(arithmetic_questions({"prod2": 1}, 1500, seed=0))
    assert not measured & mirrors_of(arithmetic_questions({"prod2": 1}, 1500, seed=0, measured_per_family=1500))


def test_the_bases_corpus_mirrors_no_question_that_the_demos_seeds_are_measured_on():
    measured = frozenset().union(*(mirrors_of(held_out_questions(list(FAMILIES), 400, s)) for s in MEASURED_SEEDS))
    prompts = [f"{line.prompt[:-1]}?" for line in islice(corpus(Random(3)), 6000)]
    assert not measured & set(map(canonical, prompts))


@pytest.mark.parametrize(
    ("seed", "digest"),
    [
        (0, "acede57b39bb5235e0bc3973a0e22dc4109d00a781d9a8cde4e7a7ab490ee2a7"),
        (1, "fdae31d0d33c01f2a70debbdd9fae0e47993350c6bc2681b27d57bccc9469587"),
        (2, "f39b00958b0d175fd7643bc635e021030bdf3467558d1f345660a2d79f94294b"),
    ],
)
def test_what_is_measured_on_stays_the_same(seed, digest):
    texts = "".join(question.text for question in held_out_questions(list(FAMILIES), 400, seed))
    assert hashlib.sha256(texts.encode()).hexdigest() == digest
