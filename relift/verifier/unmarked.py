"""The final answer of a text that marks none: no ``\\boxed{}``, no ``####``.

For evaluations and for base models, which were never asked for a mark; what can be guessed can be farmed, so a reward
is better given for marked answers. In this order: ``<answer>``, the words "the answer is", a text that is nothing but a
value, and last whatever stands last of a bold text, a formula or a number. Linear in the length of the section.
"""

from __future__ import annotations

import re

WINDOW = 2_000
"""Characters at the end that are looked at."""

_TAG = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_ANNOUNCED = re.compile(
    r"(?:\banswers?\b[ *_]{0,4}(?:\([^()\n]{0,20}\))?[ *_]{0,4}(?:is\b|are\b|[:：=])|\banswer[ \n]{0,2}(?=\$|\\[\[(])"
    r"|答案(?:是|为|[:：])|答[:：]|(?:réponse|respuesta|resposta|risposta|Antwort|Ergebnis|Lösung|ответ|odpověď|odpowiedź)"
    r" ?(?:est|es|é|è|ist|lautet|je|to)?)\s?[:：]?",
    re.IGNORECASE,
)
_HEADED = re.compile(r"\W{0,6}(?:the\s+)?(?:final\s+)?answer\W{0,4}[:：]\W{0,4}\S", re.IGNORECASE)
_DELIMITED = re.compile(
    r"\s*(?:\*\*(?P<bold>[^*\n]+)\*\*|\$\$(?P<display>.+?)\$\$|\$(?P<inline>[^$\n]+)\$|\\\((?P<round>.+?)\\\)"
    r"|\\\[(?P<square>.+?)\\\]|`(?P<code>[^`\n]+)`|\\?boxed\s*(?:\{(?P<boxed>[^{}\n]*)\}|(?P<bare>[\w.,]+)))",
    re.DOTALL,
)
_SENTENCE = re.compile(r"(?:[^.\n。<]|\.(?=\S)|<(?!\|))*")
_LETTER = re.compile(r"\(?([A-J])\)?(?=\s*(?:[.,;:。，)]|$|[^\x00-\u02ff])|\s+(?:because|since|as|non|not)\b)")
_LAST_LETTER = re.compile(r"(?<![A-Za-z])([A-J])\)?\W*$")
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.,\\])[-+−]?\$?(?:\\[dt]?frac\s*\{[^{}]*\}\s*\{[^{}]*\}"
    r"|(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+,\d{1,2}(?!\d)|\d+(?:\.\d+)?|\.\d+)(?:/\d+)?)(?:\s?(?:\\?%|percent|pct)(?!\w))?"
)
_PROSE = re.compile(r"(?<![\\A-Za-z])(?!sqrt|sin|cos|tan|log|exp)[A-Za-z]{3,}|[^\x00-\u02ff\u2000-\u2bff]")
_COMMANDS = re.compile(r"\\(?:text|textbf|mathrm|mbox|operatorname|begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+")
_CALCULATION = re.compile(r"[^A-Za-z<>!]*=[^<>!]*")
_BEFORE = " \t\n*_:："
_EDGES = " \t\n*_:：.。,;"


def unmarked(section: str) -> str | None:
    """The answer that such a text ends in; None where nothing looks like one."""
    section = section[-WINDOW:].rstrip()
    if not section:
        return None
    if tagged := _TAG.findall(section):
        return _value(tagged[-1])
    ends = [found.end() for found in _ANNOUNCED.finditer(section)]
    if ends and (said := _announced(section[ends[-1] :])):
        return said
    text = section.strip()
    if "\n" not in text and not _has_prose(text):
        return _value(text)
    letter = _LETTER.match(text)
    return letter[1] if letter else _last(section)


def headed_line(section: str) -> str | None:
    """What the last line says that is headed "Answer:"; None where no line behind the first one is."""
    lines = [line for line in section[-WINDOW:].splitlines()[1:] if _HEADED.match(line)]
    return unmarked(lines[-1]) if lines else None


def announced_end(section: str) -> int | None:
    """Where the line ends that first says "the answer is"; None where none does."""
    if (found := _ANNOUNCED.search(section)) is None:
        return None
    newline = section.find("\n", found.end())
    return len(section) if newline < 0 else newline


def _announced(rest: str) -> str | None:
    """What follows the words: a formula or bold text, a letter, or the value in the rest of the sentence."""
    rest = rest.lstrip(" \t\n*_:：")
    if (delimited := _DELIMITED.match(rest)) and delimited.lastgroup:
        return _value(delimited[delimited.lastgroup])
    sentence = _SENTENCE.match(rest)
    said = sentence[0].strip(_EDGES) if sentence else ""
    if letter := _LETTER.match(said):
        return letter[1]
    return (_last(said) or said) if _has_prose(said) else _value(said) if said else None


def _last(text: str) -> str | None:
    """What stands last of bold texts, formulas and numbers; a number inside of one of the others is no other value."""
    best, end = None, 0
    for found in _DELIMITED.finditer(text):
        content = found[found.lastgroup] if found.lastgroup else ""
        if found.lastgroup not in ("bold", "code") or not _has_prose(content):
            best, end = content, found.end()
    for number in _NUMBER.finditer(text, end):
        best = number[0]
    if best is None and (letter := _LAST_LETTER.search(text)):
        return letter[1]
    return None if best is None else _value(best)


def _value(text: str) -> str:
    """Without what stands around it; of a calculation its result: of ``[1 + 0.5 = 1.5]`` 1.5, but all of ``x = 5``."""
    text = text.lstrip(_BEFORE).rstrip(_EDGES)
    if (delimited := _DELIMITED.fullmatch(text)) and delimited.lastgroup:
        text = delimited[delimited.lastgroup].lstrip(_BEFORE).rstrip(_EDGES)
    if "=" in text and _CALCULATION.fullmatch(_COMMANDS.sub("", text)):
        result = text.rpartition("=")[2].strip(_EDGES)
        text = result if result.count("(") == result.count(")") else result.rstrip(")")
        text = text if "[" in text else text.rstrip("] ")
    return text.lstrip(_BEFORE).rstrip(_EDGES)


def _has_prose(text: str) -> bool:
    return _PROSE.search(_COMMANDS.sub("", text)) is not None
