"""Golds with one thing changed, so that each is a wrong answer to the gold it was made of.

A change is proposed by its kind wherever the text has a place for it; ``KEEPS_THE_VALUE`` names every reason why a
proposed one may still be right, and what falls under one of them is left out. Which of the rest are taken is a function
of the gold alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.verifier.mutation_kinds import KINDS, letter_positions

PER_KIND = 2
"""Changes of one kind to one gold, at most."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """The gold with ``new`` in place of what stands from ``start`` to ``end``."""

    kind: str
    gold: str
    start: int
    end: int
    new: str

    @property
    def answer(self) -> str:
        return self.before + self.new + self.after

    @property
    def before(self) -> str:
        return self.gold[: self.start]

    @property
    def old(self) -> str:
        return self.gold[self.start : self.end]

    @property
    def after(self) -> str:
        return self.gold[self.end :]


def mutations(gold: str) -> list[Mutation]:
    """Wrong answers to ``gold``, at most ``PER_KIND`` of a kind, always the same ones."""
    chosen: list[Mutation] = []
    for kind, propose in KINDS.items():
        made = [Mutation(kind, gold, *edit) for edit in propose(gold)]
        wrong = {one.answer: one for one in made if one.answer != gold and reason_kept(one) is None}
        chosen += sorted(wrong.values(), key=_draw)[:PER_KIND]
    return chosen


def reason_kept(change: Mutation) -> str | None:
    """Why this change may leave the answer right, or None."""
    return next((reason for reason, keeps in KEEPS_THE_VALUE.items() if keeps(change)), None)


def _draw(change: Mutation) -> bytes:
    return hashlib.sha256(f"{change.kind}\0{change.gold}\0{change.answer}".encode("utf-8", "replace")).digest()


# Why a change may leave the answer right. What no kind proposes needs no reason: a percent sign, a row for a column, a
# rounded number, another spelling of the same.

_EQUALS_ZERO = re.compile(r"=\s*0\s*\$?$")
_PERIODS = re.compile(r"\\mathbb\{Z|[kn]\s*\\?(?:pi|π)|\\pi\s*k")
_FREE_CONSTANT = re.compile(r"[+-]\s*(?:\\frac\{)?$")
_ANGLE = re.compile(
    r"\\(?:sin|cos|tan|cot|sec)\s*(?:\^\{?\d\}?)?\s*((?:\\left)?\([^()]*|-?\\frac\s*\{[^{}]*\}?\{?[^{}]*|[^()=+,<>{}]*)$"
)
_PROSE = re.compile(r"(?:[A-Za-z]+[ \n]){2,}[A-Za-z]{2,}")
_PARTED = re.compile(r"[,;](?![^(]*\))")
_NAME = re.compile(r"\$*\s*[A-Za-z](?:_\{?\\?\w+\s*\}?)?(?:\([A-Za-z0-9]\))?\s*")


def _is_bound_letter(change: Mutation) -> bool:
    """The one place of a letter that may be called anything: an argument, a constant, an integer next to pi."""
    if change.kind not in ("letter", "case"):
        return False
    earlier, later = re.split(r"\$,|,\$", change.before)[-1], re.split(r"\$,|,\$", change.after)[0]
    own_part = earlier + change.old + later
    if [own_part[position] for position in letter_positions(own_part)].count(change.old) > 1:
        return False
    argument = re.search(r"[A-Za-z]\($", change.before) and re.match(r"\)\s*=", change.after)
    of_function = re.match(r"\$?\s*[A-Za-z]\([A-Za-z]\)\s*=", change.before)
    beside_pi = change.old in "kn" and re.match(r"\s*\\pi", change.after)
    constant = change.old in "CDK" and _FREE_CONSTANT.search(change.before)
    return bool(argument or of_function or beside_pi or constant)


def _is_sign_of_free_part(change: Mutation) -> bool:
    """``+C`` and ``-C``, ``+ k\\pi`` and ``- k\\pi``, and a shift by half a period."""
    return change.kind == "sign" and bool(
        re.match(r"\s*[CDK](?![A-Za-z])", change.after) or _PERIODS.search(change.gold)
    )


def _is_sign_of_nothing(change: Mutation) -> bool:
    return change.kind == "sign" and re.match(r"\s*0(?![.\d])", change.after) is not None


def _is_sign_under_even(change: Mutation) -> bool:
    """At the head of bars, of an even power or of a cosine."""
    if change.kind != "sign" or change.old == r"\pm" or not re.search(r"(?:[|(]|\\left\()\s*$", change.before):
        return False
    inside = re.match(r"[^()|]*(?:\||\)\^\{?[02468])", change.after)
    return inside is not None or bool(re.search(r"\\cos\s*(?:\\left)?\(\s*$", change.before))


def _is_hyphen(change: Mutation) -> bool:
    """Between words, and in a date."""
    return change.kind == "sign" and bool(
        re.match(r"\s*[A-Za-z]{3,}", change.after) or re.fullmatch(r"\d{4}-\d\d-\d\d", change.gold)
    )


def _is_capital_of_words(change: Mutation) -> bool:
    """In a sentence, a label, a choice, an hour, the exponent of 5e3 or a number of base 16 capitals mean nothing."""
    if change.kind != "case":
        return False
    label = re.search(r"(?:^|[,;]\s*)\(?[A-Z]?$", change.before) and re.match(
        r"[A-Z]?[.:)](?:\s|$)|\s(?:- |[A-Z][a-z])", change.after
    )
    of_number = re.search(r"\d$", change.before) and re.match(
        r"[\d._]|-\d" if change.old in "eE" else r"[\d._]", change.after
    )
    is_text = _PROSE.search(change.gold) or re.fullmatch(r"0x\w+|[A-E]{2,5}|.*[ap]\.m\.|\d+th .*", change.gold)
    return bool(is_text or label or of_number)


def _is_scale_of_zero(change: Mutation) -> bool:
    """``2x = 0`` and ``3x = 0``, ``(x+1)^2 = 0`` and ``(x+1)^3 = 0``."""
    equation = _EQUALS_ZERO.search(change.gold)
    if change.kind not in ("digit", "length", "sign", "script") or not equation or change.start >= equation.start():
        return False
    in_brackets = change.before.count("(") > change.before.count(")")
    left = re.sub(r"\([^()]*\)|^\s*\$?-", "", change.gold[: equation.start()])
    return not in_brackets and not re.search(r"[-+]|\\(?:pm|int)", left)


def _is_other_end(change: Mutation) -> bool:
    """``\\binom{5}{2}`` and ``\\binom{5}{3}``; 0! and 1!; a product that starts at 2 for one that starts at 1."""
    return change.kind == "digit" and bool(
        re.search(r"\\binom(?:\{[^{}]*\}\{|\d)[^{}]*$|C\(\d+,\d*$|C_\{?\d+\}?\^\d*$", change.before)
        or re.fullmatch(r"(?:.*\D)?[01]!", change.before[-1:] + change.old + change.after[:1])
        or re.search(r"\\prod_\{[a-z]=$", change.before)
    )


def _is_angle_of_function(change: Mutation) -> bool:
    """Many angles have the same sine, some the same cosine too."""
    if change.kind == "name" and change.old in ("sin", "cos", "tan", "cot"):
        return re.match(r"\s*45", change.after) is not None or bool(re.search(r"\\int_.*2\\pi", change.before))
    found = _ANGLE.search(change.before) if change.kind in ("digit", "length", "sign") else None
    return found is not None and bool(re.search(r"\\pi|\\circ|°", found[1] + change.after[:12]))


def _is_number_of_a_name(change: Mutation) -> bool:
    """x_1 and x_2 of two roots, which may be numbered otherwise."""
    numbered = re.findall(r"([A-Za-z])_\{?\d\}?\s*=", change.gold)
    return change.kind in ("digit", "length", "script") and (
        len(numbered) > len(set(numbered)) and "_" in change.before[-2:] + change.old
    )


def _is_closed_elsewhere(change: Mutation) -> bool:
    """An end of an interval that belongs to another one too, and infinity, which belongs to none."""
    if change.kind != "bracket" or len(change.old) != 1:
        return False
    end = re.match(r"[^,]*", change.after) if change.old in "([" else re.search(r"[^,]*$", change.before)
    text = end[0].strip() if end else ""
    return "infty" in text or (change.gold.count(text) > 1 and f"[{text}" in change.gold)


def _is_length_of_segment(change: Mutation) -> bool:
    """``AB = 5`` says the length, as ``|AB| = 5`` does; and bars around 0 change nothing."""
    if change.kind != "bars":
        return False
    return bool(re.match(r"\|[A-Z]{2}\|", change.old)) or re.fullmatch(r"\s*=\s*0\s*\$?", change.after) is not None


def _is_same_domain(change: Mutation) -> bool:
    """Integers that are bounded below by a positive number are natural numbers."""
    is_bounded = re.search(r"[<>]|\\[gl]eq?(?![a-z])|0, ?1, ?2", change.gold)
    return change.kind == "domain" and change.new == "N" and is_bounded is not None


def _is_order_without_meaning(change: Mutation) -> bool:
    """Parts that are equal or that commute, names in a set, whole solutions."""
    if change.kind != "pairing":
        return False
    in_a_set = re.search("[,;]", change.old) and change.before.count("\\{") > change.before.count("\\}")
    parts = [sorted(map(_spelled_out, _PARTED.split(text))) for text in (change.gold, change.answer)]
    return (
        _spelled_out(change.gold) == _spelled_out(change.answer)
        or parts[0] == parts[1]
        or change.old in ("2^4", "4^2")
        or bool(in_a_set or re.search(r"\\gcd\s*\($|lcm\}?\s*\($", change.before))
    )


def _spelled_out(part: str) -> str:
    return re.sub(r"[\s$]|\\(?:left|right)|\\[,;!]", "", part)


def _is_loose_and(change: Mutation) -> bool:
    """Solutions are listed with "and" as with "or"; only between inequalities does it matter."""
    return change.kind == "connective" and not re.search(r"[<>]|\\[gl]eq?(?![a-z])", change.gold)


def _is_name_alone(change: Mutation) -> bool:
    """A dropped index or argument of the name in ``name = value``."""
    if change.kind not in ("script", "argument"):
        return False
    left, is_equation, rest = change.gold.partition("=")
    return bool(is_equation and "=" not in rest and change.start < len(left) and _NAME.fullmatch(left))


def _is_ending_left_out(change: Mutation) -> bool:
    """The degree sign, the base of a number, the "th" of 12th, the 10 of a logarithm."""
    if change.kind != "script":
        return False
    behind_number = re.search(r"\d[A-F]?$", change.before) and change.old.strip().startswith("_")
    ending = re.match(r"\s*\^\{?(?:\\circ|\\text|\\mathrm)", change.old)
    return bool(behind_number or ending or (re.search(r"\\log\s*$", change.before) and "10" in change.old))


def _is_same_residue(change: Mutation) -> bool:
    """``1 \\pmod 4`` and ``17 \\pmod 4``."""
    return change.kind == "length" and re.search(r"\\p?mod", change.after) is not None


def _is_unseen(change: Mutation) -> bool:
    return re.search(r"\\phantom\{[^{}]*$", change.before) is not None


def _is_power_of_one(change: Mutation) -> bool:
    return change.kind == "script" and bool(
        re.search(r"(?<![\d.])[01]$", change.before) or re.fullmatch(r"\^\{?1\}?", change.old)
    )


KEEPS_THE_VALUE: dict[str, Callable[[Mutation], bool]] = {
    "a letter that may be called anything": _is_bound_letter,
    "the sign of a free constant or of whole periods": _is_sign_of_free_part,
    "the sign of nothing": _is_sign_of_nothing,
    "a sign under an even function": _is_sign_under_even,
    "a hyphen": _is_hyphen,
    "a capital in words": _is_capital_of_words,
    "a factor or a power of an equation with zero": _is_scale_of_zero,
    "a binomial from the other end, 0! and 1!": _is_other_end,
    "the angle of a function": _is_angle_of_function,
    "the number of a root": _is_number_of_a_name,
    "an end of an interval that is in or out anyway": _is_closed_elsewhere,
    "bars around a length or zero": _is_length_of_segment,
    "the same integers": _is_same_domain,
    "an order that means nothing": _is_order_without_meaning,
    '"and" in a list': _is_loose_and,
    "a name alone": _is_name_alone,
    "a unit, a base or an ending left out": _is_ending_left_out,
    "a power of one": _is_power_of_one,
    "what is not printed": _is_unseen,
    "the same residue": _is_same_residue,
}
