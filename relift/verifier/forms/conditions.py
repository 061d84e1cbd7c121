"""What stands behind an answer about its letters: ``k \\in \\mathbb{Z}``, ``for all real x``.

A condition is never dropped here: two answers with conditions must have the same ones, and where only one has any, the
condition must be of the kind that goes without saying (``UNSAID``).
"""

from __future__ import annotations

import re

from relift.verifier.spelling.brackets import closing, steps

Conditions = tuple[tuple[str, str], ...]
"""Letter and domain of each, e.g. ``(("k", "Z"),)``."""

MAX_PLACES = 40
"""Where a condition may begin that are tried, from the left."""
UNSAID = frozenset(("Z", "any", "constant"))
"""Domains of a letter that a question gives away: the whole number of a family, an argument, a constant."""

_LETTER = r"(?:[A-Za-z](?:_\{\w+\})?|\\(?:ell|alpha|beta|lambda|mu|theta|varphi|phi|tau)(?![A-Za-z]))"
_LETTERS = rf"{_LETTER}(?:\s*(?:,|and)\s*{_LETTER})*"
_SETS = {
    "Z": "Z", "Q": "Q", "R": "R", "C": "C", "N": "N",
    "Z^+": "Z+", "Z_+": "Z+", "Z_{>0}": "Z+", "N^*": "Z+", "N^+": "Z+", "N_+": "Z+", "N_1": "Z+", "Z_{\\ge1}": "Z+",
    "N_0": "N0", "Z_{\\ge0}": "N0", "Z^*": "Z*", "Z\\setminus\\{0\\}": "Z*", "R^*": "R*", "R\\setminus\\{0\\}": "R*",
    "R^+": "R+", "R_+": "R+", "R_{>0}": "R+", "Q^+": "Q+", "Q_+": "Q+", "Q_{>0}": "Q+",
}  # fmt: skip
_KINDS = {
    "integer": "Z", "whole number": "N0", "positive integer": "Z+", "natural number": "N", "natural": "N",
    "positive natural number": "Z+", "nonnegative integer": "N0", "non-negative integer": "N0", "real": "R",
    "real number": "R", "rational number": "Q", "rational": "Q", "complex number": "C", "positive real number": "R+",
    "positive real": "R+", "nonzero integer": "Z*", "constant": "constant", "real constant": "constant",
}  # fmt: skip
_KIND = "|".join(sorted(map(re.escape, _KINDS), key=len, reverse=True))
_LEAD = r"(?:(?:for|where|with|here|and|when|in which|if)\b)?\s*(?:\\forall)?\s*"
_MANY = r"(?:(?:all|any|each|every|some|an?|arbitrary|the|values of)\b\s*)*"
_FORMS = (
    re.compile(rf"{_LEAD}{_MANY}(?P<letters>{_LETTERS})\s*(?:\\in|in)\s*(?P<set>\S+)"),
    re.compile(rf"{_LEAD}{_MANY}(?P<kind>{_KIND})s?\s*(?:numbers?|values?)?\s*(?:of\s*)?(?P<letters>{_LETTERS})"),
    re.compile(rf"{_LEAD}(?P<letters>{_LETTERS})\s*(?:is|are|being|be)\s*{_MANY}(?P<kind>{_KIND})s?"),
    re.compile(rf"{_LEAD}(?P<letters>{_LETTER})\s*=\s*(?P<values>[-0-9,\s\\pm]+)\\ldots"),
    re.compile(r"for\s*(?:all|any|every|each)\s*(?:values of\s*)?(?P<letters>[A-Za-z])"),
)
_BEGINS = re.compile(
    r"\\text\{(?:for|where|with|here|and|when|in which|if)|(?<![A-Za-z\\])(?:for|where|with) |\\forall"
)
_WORDS = re.compile(r"\\text\{([^{}]*)\}")


def split_conditions(text: str) -> tuple[str, Conditions]:
    """What the text says without the conditions behind it, and these; the whole text where nothing is understood."""
    if not ("\\in" in text or "\\text" in text or "\\ldots" in text or "for" in text or "where" in text):
        return text, ()
    for start in _starts(text):
        body = text[:start].rstrip(" ,;")
        if body and (found := parse_conditions(text[start:])):
            return body, found
    return text, ()


def parse_conditions(text: str) -> Conditions:
    """Those of ``, k \\in \\mathbb{Z}`` or ``(k \\in \\mathbb{Z})``; none where the text is anything else."""
    plain = " ".join(_WORDS.sub(r" \1 ", text).split()).strip(" ,;.")
    if plain.startswith("(") and closing(plain, 0) == len(plain) - 1:
        plain = plain[1:-1].strip()
    found = next((match for form in _FORMS if (match := form.fullmatch(plain))), None)
    if found is None:
        return ()
    groups = found.groupdict()
    domain = "any"
    if groups.get("set") is not None:
        domain = set_name(groups["set"])
    elif groups.get("kind") is not None:
        domain = _KINDS[groups["kind"]]
    elif groups.get("values") is not None:
        domain = _counted(groups["values"])
    letters = re.findall(_LETTER, re.sub(r"\band\b", ",", groups["letters"]))
    return tuple((letter, domain) for letter in letters) if domain else ()


def set_name(text: str) -> str:
    """One name for each set of numbers, such as ``Z+`` of ``\\mathbb{N}^{*}``; empty where it is none known here."""
    plain = re.sub(r"\\mathbb\{([A-Z])\}|\{([A-Z])\}", r"\1\2", text).replace("\\cdot", "*").replace(" ", "")
    plain = re.sub(r"([_^])\{([-+*\d])\}", r"\1\2", plain)
    return _SETS.get(plain, "")


def _counted(values: str) -> str:
    """``0,1,2,`` counts from nothing, ``1,2,3,`` from one, ``0,\\pm 1,\\pm 2,`` both ways."""
    plain = values.replace(" ", "").rstrip(",")
    if re.fullmatch(r"0,\\pm1(?:,\\pm2)?(?:,\\pm3)?", plain):
        return "Z"
    numbers = plain.split(",")
    if len(numbers) < 2 or not all(one.isdigit() for one in numbers):
        return ""
    first = int(numbers[0])
    if [int(one) for one in numbers] != list(range(first, first + len(numbers))):
        return ""
    return {0: "N0", 1: "Z+"}.get(first, "")


def _starts(text: str) -> list[int]:
    """Where a condition may begin: at commas and brackets outside of others, and at words like "where"."""
    found = [match.start() for match in _BEGINS.finditer(text)]
    for position, token, depth in steps(text):
        if (depth == 0 and token in (",", ";")) or (depth == 1 and token == "(" and position):
            found.append(position)
    return sorted(set(found))[:MAX_PLACES]
