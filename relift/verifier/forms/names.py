"""The left side of ``name = value``: what may be said to be equal to an answer without changing it."""

from __future__ import annotations

import re

_GREEK = (
    r"\\(?:alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|upsilon|phi|chi|psi"
    r"|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega|ell)(?![A-Za-z])\s*"
)
_INDEX = r"(?:_\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})?"
_SYMBOL = rf"(?:[A-Za-z]|{_GREEK})'*{_INDEX}'*"
_MARK = r"(?:m\s*)?\\(?:angle|triangle|overline|overrightarrow|vec|hat|bar|widehat|tilde|Delta|mathcal)\s*"
_OF = r"(?:\^\{-1\})?\s*\([A-Za-z0-9,\s]{1,20}\)"
_NAME = re.compile(
    rf"\|?(?:{_MARK})?\{{?(?:{_SYMBOL}|(?:[A-Z]\s*(?:_\{{\d\}})?){{2,5}})\}}?(?:{_OF})?\|?"
    rf"|\\text\{{[A-Za-z][A-Za-z ',.-]*\}}(?:\s*\([A-Za-z0-9,]*\))?|\[[A-Z]{{3,6}}\]|\\frac\{{d[a-z]\}}\{{d[a-z]\}}"
    rf"|\(\s*{_SYMBOL}(?:\s*,\s*{_SYMBOL})*\s*\)|[a-z]{_INDEX}\^\{{\\(?:circ|prime)\}}"
    rf"|\\(?:max|min|gcd|lcm|det)(?:_\{{[^{{}}]*\}})?\s*(?:{_SYMBOL}|\([A-Za-z0-9,\s]*\))?"
)
_DENIAL = re.compile(r"\b(?:not|no|never|or|and|wrong|incorrect|false|except|is)\b", re.IGNORECASE)
_ARGUMENT = re.compile(r"([A-Za-z](?:_\{\d\})?[(]|[A-Za-z]_\{)([A-Za-z])[)}]")
_LETTER = re.compile(r"(?<![\\A-Za-z])[A-Za-z](?![A-Za-z])")
_EXTREME = r"_\{\\?(?:max|min)\s*\}|_\{\\text\{(?:max|min)\}\}"
_INDEXED = re.compile(r"_\{[^{}]*\}")
_FUNCTION = re.compile(r"[fghFGH](?:_\{\d\})?\([a-z]\)|y")


def is_name(text: str) -> bool:
    """Whether this is a letter with or without index, ``f(x)``, ``AB``, ``\\angle ABC``, ``(x,y)`` or words."""
    if len(text) > 80 or text == "\\pi" or _DENIAL.search(text):
        return False
    return all(_NAME.fullmatch(part.strip()) for part in text.split(":"))  # `S_{1}:S_{2}` names a ratio


def same_name(gold: str, answer: str) -> bool:
    """Words name anything, and ``y`` is ``f(x)``; otherwise the letters must be the same."""
    gold, answer = _plain(gold), _plain(answer)
    if gold == answer or gold.startswith("\\text") or answer.startswith("\\text"):
        return True
    return "y" in (gold, answer) and all(_FUNCTION.fullmatch(name) for name in (gold, answer))


def letter_of(name: str) -> str:
    """The name without its index."""
    return _plain(_INDEXED.sub("", name))


def renamed(gold: str, answer: str, value: str) -> str | None:
    """The answer's value in the gold's letter, where they are of ``f(t)`` and ``f(x)``, or of ``a_k`` and ``a_n``."""
    first, second = _ARGUMENT.fullmatch(gold.replace(" ", "")), _ARGUMENT.fullmatch(answer.replace(" ", ""))
    if first is None or second is None or first[1] != second[1] or first[2] == second[2]:
        return None
    letters = set(_LETTER.findall(value))
    return None if first[2] in letters else _LETTER.sub(lambda one: first[2] if one[0] == second[2] else one[0], value)


def _plain(name: str) -> str:
    return re.sub(rf"\s+|\\overline|\||m?\\angle|\\triangle|{_EXTREME}", "", name).strip("{}")
