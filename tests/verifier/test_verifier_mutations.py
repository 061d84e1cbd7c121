"""One thing changed in a real gold makes a wrong answer, whatever it is; `make bench-verifier` sends thousands.

``PROPOSED`` and ``LEFT_OUT`` say what the generator takes for a change: the first are wrong answers, the second may be
right ones, each by the reason that it is left out for.
"""

from __future__ import annotations

import hashlib

import pytest

from relift.records import Status
from tests.bench import verifier_mutations
from tests.verifier.mutation_kinds import KINDS
from tests.verifier.mutations import KEEPS_THE_VALUE, Mutation, mutations, reason_kept
from tests.verifier.real_golds import COPIES, real_golds, usable

GOLDS = 120

PROPOSED = [
    ("digit", "18", "28"),
    ("length", "18", "187"),
    ("sign", "x-1", "x+1"),
    ("sign", r"1 \pm \sqrt{2}", r"1 + \sqrt{2}"),
    ("letter", "2n", "2w"),
    ("letter", r"\{x | 2 < x\}", r"\{w | 2 < x\}"),
    ("case", r"\frac{N}{2}", r"\frac{n}{2}"),
    ("word", r"\text{even}", r"\text{evkn}"),
    ("relation", "x>3", "x<3"),
    ("bracket", "(3,4]", "(3,4)"),
    ("bracket", r"\{1,2\}", "(1,2)"),
    ("bars", "|x|=3", "x=3"),
    ("bars", r"\overline{z}", "z"),
    ("prime", "f''(x)", "f'(x)"),
    ("domain", r"x = k\pi, k \in \mathbb{Z}", r"x = k\pi, k \in \mathbb{N}"),
    ("unit", r"10\text{ cm}", r"10\text{ m}"),
    ("pairing", "p=2, q=3", "p=3, q=2"),
    ("pairing", "(1,2)", "(2,1)"),
    ("name", r"\cos x", r"\sin x"),
    ("dots", r"1+2+\ldots+n", "1+2+n"),
    ("connective", r"x<-1 \text{ or } x>2", r"x<-1 \text{ and } x>2"),
    ("script", "a_{n+1}", "a"),
    ("argument", "N(0)2^{t}", "N2^{t}"),
]

LEFT_OUT = [
    ("a letter that may be called anything", "letter", "x^2+C", "x^2+W"),
    ("the sign of a free constant or of whole periods", "sign", "x^2+C", "x^2-C"),
    ("the sign of nothing", "sign", "x+0", "x-0"),
    ("a sign under an even function", "sign", "(-x)^2", "(+x)^2"),
    ("a hyphen", "sign", "A - blue", "A + blue"),
    ("a capital in words", "case", "5e3", "5E3"),
    ("a capital in words", "case", "1A_{16}", "1a_{16}"),
    ("a factor or a power of an equation with zero", "digit", "2x=0", "3x=0"),
    ("a binomial from the other end, 0! and 1!", "digit", r"\binom{5}{2}", r"\binom{5}{3}"),
    ("the angle of a function", "digit", r"\sin 30^\circ = \frac12", r"\sin 60^\circ = \frac12"),
    ("the number of a root", "digit", "x_1=2, x_2=3", "x_1=2, x_5=3"),
    ("an end of an interval that is in or out anyway", "bracket", r"(0,1] \cup [1,2)", r"(0,1) \cup [1,2)"),
    ("an end of an interval that is in or out anyway", "bracket", r"(-\infty,0]", r"[-\infty,0]"),
    ("bars around a length or zero", "bars", "|AB|=5", "AB=5"),
    ("the same integers", "domain", r"x>0, x \in \mathbb{Z}", r"x>0, x \in \mathbb{N}"),
    ("an order that means nothing", "pairing", r"\gcd(a,b)", r"\gcd(b,a)"),
    ("an order that means nothing", "pairing", "x = 2, x = -3", "x = -3, x = 2"),
    ('"and" in a list', "connective", r"a=1 \text{ or } a=2", r"a=1 \text{ and } a=2"),
    ("a name alone", "script", "a_n=2n", "a=2n"),
    ("a unit, a base or an ending left out", "script", "52_8", "52"),
    ("a unit, a base or an ending left out", "script", r"45^{\circ}", "45"),
    ("the same residue", "length", r"n \equiv 1 \pmod 4", r"n \equiv 17 \pmod 4"),
    ("a capital in words", "case", "15th Day", "15tH Day"),
    ("what is not printed", "digit", r"\phantom{0}3", r"\phantom{1}3"),
    ("the angle of a function", "name", r"\tan 45^\circ = 1", r"\cot 45^\circ = 1"),
    ("a capital in words", "case", "ABD", "AbD"),
    ("a capital in words", "case", "C Cecile", "c Cecile"),
    ("a power of one", "script", "1^{n}+x", "1+x"),
]


@pytest.mark.parametrize(("kind", "gold", "answer"), PROPOSED)
def test_a_wrong_answer_is_proposed(kind, gold, answer):
    assert answer in {one.answer for one in proposed(kind, gold) if reason_kept(one) is None}


@pytest.mark.parametrize(("reason", "kind", "gold", "answer"), LEFT_OUT)
def test_a_change_that_may_leave_the_answer_right_is_left_out_by_its_reason(reason, kind, gold, answer):
    assert [reason_kept(one) for one in proposed(kind, gold) if one.answer == answer] == [reason]
    assert answer not in {one.answer for one in mutations(gold)}


def test_every_kind_and_every_reason_is_shown_above():
    assert {kind for kind, _, _ in PROPOSED} == set(KINDS)
    assert {reason for reason, *_ in LEFT_OUT} == set(KEEPS_THE_VALUE)


def proposed(kind: str, gold: str) -> list[Mutation]:
    return [Mutation(kind, gold, *edit) for edit in KINDS[kind](gold)]


def test_a_real_gold_with_one_thing_changed_is_wrong(boxed):
    golds = [gold for of_source in real_golds(COPIES).values() for gold in of_source]
    drawn = sorted(golds, key=lambda gold: hashlib.sha256(f"one thing changed {gold}".encode()).digest())[:GOLDS]
    made = [change for gold in usable(boxed, drawn) for change in mutations(gold)]
    verdicts = boxed.compare_batch([(change.gold, change.answer) for change in made])
    accepted = [
        (change.kind, change.gold, change.answer)
        for change, verdict in zip(made, verdicts, strict=True)
        if verdict.status is Status.CORRECT
    ]
    assert accepted == []
    assert sum(verdict.status in verifier_mutations.DECIDED for verdict in verdicts) >= 0.95 * len(made)
    assert len(made) > 500


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"mutations": 9_999.0}, ["9999 mutations, at least 10000"]),
        ({"mutations_accepted_share": 0.00051}, ["0.0510% of the mutations are accepted"]),
        ({"mutations_decided_share": float("nan")}, ["nan% of the mutations are decided"]),
    ],
)
def test_the_figures_of_all_mutations_are_held_to_their_bars(change, said):
    at_the_bars = {"mutations": 10_000.0, "mutations_accepted_share": 0.0005, "mutations_decided_share": 0.95}
    missed = verifier_mutations.misses(at_the_bars | change)
    assert len(missed) == len(said)
    assert all(one.startswith(text) for one, text in zip(missed, said, strict=True))
