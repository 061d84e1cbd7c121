"""What may not reach a parser of mathematics: texts too large to compute with, and shapes that only fool it."""

from __future__ import annotations

import re

MAX_CHARS = 600
MAX_OPEN_BRACKETS = 60

_RESOURCE_BOMBS = [
    (re.compile(r"\d{601}"), "a number of more than 600 digits"),
    (re.compile(r"(?:\^|\*\*)\s*\{?\s*[({]?\s*[-+]?\s*\d{5}"), "an exponent of five digits or more"),
    (re.compile(r"\d\s*[)}]*\s*(?:\^|\*\*)[\s({]*[\d.]+\s*[)}]*\s*(?:\^|\*\*)"), "a power in an exponent"),
    (re.compile(r"\d{4}\s*[)}]*\s*!|!\s*[)}]+\s*!"), "a factorial of a large number"),
    (re.compile(r"\^\s*\{?\s*\d+\s*\}?\s*[)}]+\s*!"), "a factorial of a power"),
]

_RELATION = re.compile(r"<|>|\\(?:le|ge|leq|geq|neq?|lt|gt|in|notin|approx|sim|equiv|to)(?![a-zA-Z])")
_SEVERAL = re.compile(r"\\(?:pm|mp|cup|cap)(?![a-zA-Z])|±")
_HEDGE = re.compile(r"\b(?:or|and|any|either|not|no|none|other|all|every|some)\b")
_SUBSCRIPT = re.compile(r"_\{[^{}]*\}")
_BASE = re.compile(r"\w+?_\{?(\d+)\}?")
_UNIT = re.compile(r"\\(?:text|mathrm)\{\s*([^{}]*?)\s*\}(?:\^\{?\d\}?)?$")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_NAME = re.compile(r"[A-Za-z](?:_\{?\w+\}?)?(?:\([A-Za-z]\))?|\\[A-Za-z]+|\\text\{[^{}]*\}")
_DAMAGE = re.compile(r"\\frac(?!\{[^{}]+\}\{|\d)|\\sqrt(?![\[{\d ])|\{\}|//|\?\?|\\begin(?!.*\\end)|[-+*/^_=<>\\(\[]$")
_OPENING = {"(": ")", "[": "]", "{": "}"}


def too_large(text: str, *, gold_chars: int = 0) -> str | None:
    """Why this normalised answer must not be parsed, or None.

    Prototype values of a measured set: they cut the hostile answers that took over a second from 39 to 8.
    """
    if len(text) > max(MAX_CHARS, 2 * gold_chars):
        return f"{len(text)} characters"
    if any(text.count(bracket) > MAX_OPEN_BRACKETS for bracket in "([{"):
        return "too many brackets"
    if not _braces_balance(text):
        return "braces that do not match"  # they could end the box that the text is wrapped in
    return next((what for pattern, what in _RESOURCE_BOMBS if pattern.search(text)), None)


def is_whole_text(gold: str) -> bool:
    """Whether a gold that no parser reads still looks whole, so that an answer may match it literally.

    ``t(0,4]`` and ``f(x)=ax+b, where b is an integer`` do; ``1 +``, ``\\frac{1}`` and ``???`` are damaged.
    """
    brackets = sum(map(gold.count, "([")) == sum(map(gold.count, ")]"))
    return brackets and any(char.isalnum() for char in gold) and not _DAMAGE.search(gold)


def _braces_balance(text: str) -> bool:
    depth = 0
    for brace in re.findall(r"\\.|[{}]", text):
        depth += (brace == "{") - (brace == "}")
        if depth < 0:
            return False
    return depth == 0


def not_one_number(answer: str) -> str | None:
    """Why this answer cannot stand for a gold that is one number, or None.

    Each rule closes a measured false positive: the parser keeps the last element of a chain (``0 = 1 = 2 = 3``), the
    point of a degenerate interval, and drops words as if they were units (``3\\text{ or any other number}``).
    """
    left, *rights = _SUBSCRIPT.sub("", answer).split("=")  # the = of a sum's lower limit is none
    if len(rights) > 1 or (rights and not _NAME.fullmatch(left.strip())):
        return "an equation that is not name = value"
    if _RELATION.search(answer):
        return "a relation"
    if _SEVERAL.search(answer):
        return "more than one value"
    if _HEDGE.search(answer.lower()):
        return "words beside the number"
    if _has_separator(_unwrapped(rights[-1] if rights else left)):
        return "a list"
    return None


def another_kind(gold: str, answer: str) -> str | None:
    """Why these two cannot be the same although the parser would see no difference, or None."""
    if gold.startswith("(") and answer.startswith(r"\{"):
        return "a set instead of a tuple"
    bases = _BASE.fullmatch(gold), _BASE.fullmatch(answer)
    if bases[0] and bases[1] and bases[0][1] != bases[1][1]:
        return "another number base"
    units = _UNIT.search(gold), _UNIT.search(answer)
    if units[0] and units[1] and units[0][0] != units[1][0]:
        return "another unit"
    names = set(_COMMAND.findall(gold)), set(_COMMAND.findall(answer))
    if any(name not in names[0] and _recased(name) in names[0] for name in names[1]):
        return "a Greek letter of another case"
    return None


def _recased(command: str) -> str:
    """``\\gamma`` for ``\\Gamma`` and the other way round."""
    return command[0] + command[1].swapcase() + command[2:]


def _unwrapped(text: str) -> str:
    """The inside of one pair of brackets around everything: ``[3,3]`` and ``\\{1,2\\}`` are lists too."""
    text = text.strip()
    for opening, closing in ((r"\{", r"\}"), ("(", ")"), ("[", "]"), ("(", "]"), ("[", ")")):
        if text.startswith(opening) and text.endswith(closing):
            return text[len(opening) : -len(closing)]
    return text


def _has_separator(text: str) -> bool:
    depth = 0
    for char in text:
        if char in _OPENING:
            depth += 1
        elif char in _OPENING.values():
            depth -= 1
        elif char in ",;" and depth <= 0:
            return True
    return False
