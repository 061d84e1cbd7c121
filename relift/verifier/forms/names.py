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
    rf"(?:{_MARK})?\{{?(?:{_SYMBOL}|(?:[A-Z]\s*(?:_\{{\d\}})?){{2,5}})\}}?(?:{_OF})?"
    rf"|\|(?:{_MARK}\{{?{_SYMBOL}\}}?|(?:{_MARK})?\{{?(?:[A-Z]\s*(?:_\{{\d\}})?){{2,5}}\}}?)\|"
    rf"|\\text\{{[A-Za-z][A-Za-z ',.-]*\}}(?:\s*\([A-Za-z0-9,]*\))?|\[[A-Z]{{3,6}}\]|\\frac\{{d[a-z]\}}\{{d[a-z]\}}"
    rf"|\(\s*{_SYMBOL}(?:\s*,\s*{_SYMBOL})*\s*\)|[a-z]{_INDEX}\^\{{\\(?:circ|prime)\}}"
    rf"|\\(?:max|min|gcd|lcm|det)(?:_\{{[^{{}}]*\}})?\s*(?:{_SYMBOL}|\([A-Za-z0-9,\s]*\))?"
)
_DENIAL = re.compile(r"\b(?:not|no|never|or|and|wrong|incorrect|false|except|is)\b", re.IGNORECASE)
_ARGUMENT = re.compile(r"([A-Za-z](?:_\{\d\})?[(]|[A-Za-z]_\{)([A-Za-z])[)}]")
_GREEK_LETTER = re.compile(_GREEK)
_WORD_OR_LETTER = re.compile(r"\\(?:text|mathbb|begin|end)\{[^{}]*\}|\\[A-Za-z]+|[A-Za-z]")
_EXTREME = r"_\{\\?(?:max|min)\s*\}|_\{\\text\{(?:max|min)\}\}"
_EXTREME_NAMED = re.compile(r"_\{(?:\\text\{|\\)?(max|min)")
_LENGTH = re.compile(
    r"\|(?:\\overline\s*)?\{?((?:[A-Z](?:_\{\d\})?){2,5})\}?\||\\overline\s*\{((?:[A-Z](?:_\{\d\})?){2,5})\}"
)
_MARKS = re.compile(rf"^(?:m\s*)?\\angle|^\\triangle|{_EXTREME}")
_WORDS_NAME = re.compile(r"\\text\{[^{}]*\}")
_INDEXED = re.compile(r"_\{[^{}]*\}")
_FUNCTION = re.compile(r"[fghFGH](?:_\{\d\})?\(x\)")


def is_name(text: str) -> bool:
    """Whether this is a letter with or without index, ``f(x)``, ``AB``, ``\\angle ABC``, ``(x,y)`` or words."""
    if len(text) > 80 or text == "\\pi" or _DENIAL.search(text):
        return False
    return all(_NAME.fullmatch(part.strip()) for part in text.split(":"))  # `S_{1}:S_{2}` names a ratio


def same_name(gold: str, answer: str) -> bool:
    """Words name any letter, and ``y`` is ``f(x)``; otherwise both must be the same, with every mark and argument."""
    marks = [[mark for mark in _MARKS.findall(name) if mark[0] != "_"] for name in (gold, answer)]
    if (all(marks) and marks[0] != marks[1]) or _extreme(gold) != _extreme(answer):
        return False  # an angle and a triangle; the largest and the smallest, and `y_{\max}` is no y
    gold, answer = _plain(gold), _plain(answer)
    if gold == answer:
        return True
    words = [_WORDS_NAME.match(name) for name in (gold, answer)]
    if words[0] and words[1]:
        is_same = words[0][0].casefold() == words[1][0].casefold()
        return is_same and gold[words[0].end() :] == answer[words[1].end() :]
    if words[0] or words[1]:
        return True
    return "y" in (gold, answer) and any(_FUNCTION.fullmatch(name) for name in (gold, answer))


def letter_of(name: str) -> str:
    """The name without its index."""
    return _plain(_INDEXED.sub("", name))


def renamed(gold: str, answer: str, gold_value: str, value: str) -> str | None:
    """The answer's value in the gold's letter, where they are of ``f(t)`` and ``f(x)``, or of ``a_k`` and ``a_n``.

    Both letters must stand in their values: ``f(w) = cx`` says nothing of ``f(x)``, and ``P(B) = 1/2`` nothing of A.
    """
    first, second = _ARGUMENT.fullmatch(gold.replace(" ", "")), _ARGUMENT.fullmatch(answer.replace(" ", ""))
    if first is None or second is None or first[1] != second[1] or first[2] == second[2]:
        return None
    letters = letters_of(value)
    if first[2] in letters or second[2] not in letters or first[2] not in letters_of(gold_value):
        return None
    return with_letters(value, {second[2]: first[2]})


def letters_of(text: str) -> set[str]:
    """The letters, Latin and Greek, that stand in an expression; not those of words and of other commands."""
    return {found[0] for found in _WORD_OR_LETTER.finditer(text) if _is_letter(found[0])}


def with_letters(text: str, names: dict[str, str]) -> str:
    """The expression with its letters renamed, all at once."""

    def rename(found: re.Match[str]) -> str:
        name = names.get(found[0])
        return found[0] if name is None else (f"{name} " if name.startswith("\\") else name)

    return _WORD_OR_LETTER.sub(rename, text)


def _is_letter(token: str) -> bool:
    return len(token) == 1 or _GREEK_LETTER.fullmatch(token) is not None


def _extreme(name: str) -> str:
    found = _EXTREME_NAMED.search(name)
    return found[1] if found else ""


def _plain(name: str) -> str:
    """Without what says only what kind of thing is named: ``AB`` of ``|AB|``, ``A`` of ``\\angle A``."""
    name = re.sub(r"\s+", "", _MARKS.sub("", name))
    name = _LENGTH.sub(lambda found: found[1] or found[2], name)
    return name[1:-1] if name.startswith("{") and name.endswith("}") else name
