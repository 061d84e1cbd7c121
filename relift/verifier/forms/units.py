"""Units behind (or before) a number: which words are one, and whether two of them are the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from relift.verifier.forms.unit_names import IN_BASE_UNITS, UNIT_OF
from relift.verifier.spelling.numerals import MULTIPLIERS

# Words that say nothing about the value beside a unit.
_NOISE_WORDS = """
total altogether overall each distinct different possible positive nonnegative real whole unit units new old small large
red blue green white black yellow
"""
_NOISE = frozenset(_NOISE_WORDS.split())
_PHRASES = re.compile(r"\bin (?:total|all)\b")
_POWERS = {"square": 2, "squared": 2, "sq": 2, "cubic": 3, "cubed": 3, "cu": 3}
_BESIDE = _NOISE | set(_POWERS) | {"per", "in"}
_MADE_OF = {"mph": (("mile", 1), ("hour", -1)), "kmh": (("kilometre", 1), ("hour", -1))}
# Plurals, and words that look like one, which change the value or take it back.
_NO_UNIT_WORDS = """
others perhaps minus plus unless less guess yes always thus hundreds thousands millions billions dozens tens ones halves
thirds quarters fifths tenths hundredths thousandths versus answers does this
"""
_NO_UNIT = frozenset(_NO_UNIT_WORDS.split())
_LONG_PLURAL = re.compile(r"[a-z]{3,}s")

LENGTHS = frozenset(name for name, (_, base, power) in IN_BASE_UNITS.items() if (base, power) == ("metre", 1))
_PIECE = re.compile(r"\\text\{(?:[^{}]|\{[^{}]*\})*\}|\\[A-Za-z]+|\\.|[A-Za-z]+|\^\{[^{}]*\}|.", re.DOTALL)
_ANGLES = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*(?:\\text\{([^{}]*)\}|([A-Za-z]+)\.?)")
_AND = re.compile(r"\\text\{\s*and\s*\}|\band\b")
_CIRCLE = "^{\\circ}"
_WORD = re.compile(r"[a-z][a-z'-]*\.?|\^\{?-?\d\}?|/|\S")
_CAPITALS = {"N": "newton", "J": "joule", "W": "watt", "V": "volt"}
_CAPITAL = re.compile(r"(?<![A-Za-z])[NJWV](?![A-Za-z])")
_RAISED = re.compile(r"\^\{?(-?\d)\}?")
_DEGREES = {"": "degree", "c": "celsius", "f": "fahrenheit", "celsius": "celsius", "fahrenheit": "fahrenheit"}
_PER = re.compile(r"\\frac\{\\text\{([^{}]*)\}\}\{\\text\{([^{}]*)\}\}$")


@dataclass(frozen=True, slots=True)
class Unit:
    """Names with their powers, e.g. ``(("hour", -1), ("mile", 1))``; or words that are no unit known here."""

    names: tuple[tuple[str, int], ...]
    unknown: str = ""
    factor: int = 1
    """Of number words: a million in ``5 million dollars``."""

    @property
    def is_plain(self) -> bool:
        return not self.names and not self.unknown


def split_unit(text: str) -> tuple[str, Unit | None]:
    """A normalised text without the words behind it, and what unit they are; None where there are none."""
    if per := _PER.search(text):
        text = f"{text[: per.start()]}\\text{{{per[1]}/{per[2]}}}"
    pieces = _PIECE.findall(text)
    begin = len(pieces)
    if pieces and pieces[-1] == _CIRCLE and _ANGLES.search(text):
        return text, None  # \cos 20^{\circ}
    while begin > 0 and _is_of_unit(pieces, begin - 1, is_last=begin == len(pieces)):
        begin -= 1
    while begin < len(pieces) and (pieces[begin] in (" ", "/", "\\cdot") or _is_loose_power(pieces, begin)):
        begin += 1  # they belong to the number
    if begin in (0, len(pieces)):
        return text, None
    words = " ".join(piece[6:-1] if piece.startswith("\\text{") else piece for piece in pieces[begin:])
    return "".join(pieces[:begin]).strip(), unit_of(words)


def split_leading_unit(text: str) -> tuple[str, Unit | None]:
    """The same for a unit before the number: ``\\text{euros}5``, ``USD 5``."""
    found = re.match(r"\\text\{([^{}]*)\}\s*(?=-?[\d.])|(USD|EUR|Rs\.?)\s*(?=[\d.])", text)
    if found is None:
        return text, None
    unit = unit_of(found[1] or found[2])
    return (text, None) if unit.unknown else (text[found.end() :], unit)


def quantities(text: str) -> tuple[tuple[Fraction, Unit], ...]:
    """``2 hours 30 minutes`` as its numbers with their units; empty where there are not two or more of them."""
    found = _QUANTITY.findall(_AND.sub(" ", text))
    if len(found) < 2 or _QUANTITY.sub("", _AND.sub(" ", text)).strip(" ,"):
        return ()
    units = [unit_of(f"{words} {bare}") for _, words, bare in found]
    if any(unit.unknown or not unit.names for unit in units) or len({unit.names for unit in units}) < 2:
        return ()
    return tuple((Fraction(number), unit) for (number, _, _), unit in zip(found, units, strict=True))


def _is_of_unit(pieces: list[str], at: int, *, is_last: bool) -> bool:
    piece = pieces[at]
    if piece.startswith("\\text{") or piece == _CIRCLE:
        return True
    if piece[0].isalpha():
        word = piece.lower()
        if len(piece) == 1:  # km/h; otherwise a letter is a letter
            return piece in "hsmgL" and at >= 2 and pieces[at - 1] == "/" and len(pieces[at - 2]) > 1
        return word in _BESIDE or word in MULTIPLIERS or _known(word) is not None
    if piece.startswith("^{"):
        return at > 0 and (
            pieces[at - 1].startswith("\\text{") or (len(pieces[at - 1]) > 1 and pieces[at - 1][0].isalpha())
        )
    return not is_last and piece in (" ", "/", "\\cdot")


def _is_loose_power(pieces: list[str], at: int) -> bool:
    return pieces[at].startswith("^{") and pieces[at] != _CIRCLE


def unit_of(words: str) -> Unit:  # noqa: PLR0912  (a rule a line)
    """The unit that words say, such as ``miles per hour``, ``sq cm``, ``cm^{2}``, ``million dollars``."""
    if words.startswith(_CIRCLE):
        degree = _DEGREES.get(words[len(_CIRCLE) :].strip().lower().rstrip("."))
        return Unit(((degree, 1),)) if degree else _unknown(words)
    names: dict[str, int] = {}
    factor, power, sign, last = 1, 1, 1, ""
    words = _CAPITAL.sub(lambda one: _CAPITALS[one[0]], words)
    for token in _WORD.findall(_PHRASES.sub("", words.lower())):
        word = token.rstrip(".")
        if (raised := _RAISED.fullmatch(token)) or (word in ("squared", "cubed") and last):
            if not last:
                return _unknown(words)
            names[last] *= int(raised[1]) if raised else _POWERS[word]
        elif word in _POWERS:
            power = _POWERS[word]
        elif word in ("per", "/"):
            sign = -1
        elif word in MULTIPLIERS and not names:
            factor *= MULTIPLIERS[word]
        elif word in ("unit", "units") and power != 1:
            names["unit"] = names.get("unit", 0) + sign * power
            power, last = 1, "unit"
        elif word in _NOISE:
            continue
        elif (name := _known(word)) is not None:
            for part, exponent in _MADE_OF.get(name, ((name, 1),)):
                names[part] = names.get(part, 0) + sign * power * exponent
            power, last = 1, name
        else:
            return _unknown(words)
    if "celsius" in names or "fahrenheit" in names:
        names.pop("degree", None)
    return Unit(tuple(sorted(names.items())), factor=factor)


def conversion(gold: Unit, answer: Unit) -> Fraction | None:
    """What turns a number of the answer's unit into one of the gold's: 1/60 for minutes and hours; or None."""
    one, other = _in_base_units(gold), _in_base_units(answer)
    if one is None or other is None or one[1] != other[1]:
        return None
    return other[0] / one[0]


def _in_base_units(unit: Unit) -> tuple[Fraction, dict[str, int]] | None:
    factor, dimensions = Fraction(1), dict[str, int]()
    for name, power in unit.names:
        if name not in IN_BASE_UNITS:
            return None
        size, base, exponent = IN_BASE_UNITS[name]
        factor *= Fraction(size) ** power
        dimensions[base] = dimensions.get(base, 0) + exponent * power
    return (factor, {base: power for base, power in dimensions.items() if power}) if unit.names else None


def _unknown(words: str) -> Unit:
    return Unit((), " ".join(words.lower().split()))


def _known(word: str) -> str | None:
    """The name of a unit; any longer plural counts as one, since most answers count things."""
    if word in _NO_UNIT or word in MULTIPLIERS:
        return None
    if word in UNIT_OF:
        return UNIT_OF[word]
    if word.endswith("s") and word[:-1] in UNIT_OF:
        return UNIT_OF[word[:-1]]
    return word[:-1] if _LONG_PLURAL.fullmatch(word) and not word.endswith("ss") else None
