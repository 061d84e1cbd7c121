"""Answers that are words: the letter of a choice, yes and no, names, dates and times of day."""

from __future__ import annotations

import re
from datetime import date

_WRAPPER = re.compile(r"\\text\{([^{}]*)\}")
_ONE_LETTER = re.compile(r"\\?\(?\s*([A-Z])\s*\)?")
_LETTER_AND_TEXT = re.compile(r"(?:\(([A-Z])\)|([A-Z])[.):])\s*(\S.*)", re.DOTALL)
_ANOTHER_CHOICE = re.compile(
    r"^[A-Z]$|\([A-Z]\)|(?<![A-Za-z\\])[A-Z][.):](?!\d)|\b(?:or|not|either|both)\b|\b(?:and|or)\s+\(?[A-Z]\b"
)
_TEXT_ONLY = re.compile(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*")
_PUNCTUATION = re.compile(r"[.,!?\"']+")
_ARTICLE = re.compile(r"^(?:the|an|a)\s+")
# Letters that stand for numbers more often than they make a word; three capitals are a name, or choices in order.
_MATHEMATICAL_RUNS = re.compile(r"[A-Za-z]{1,2}|[a-dklmnijpqrstxyzuvw]{1,4}")
_SHORT = "no yes up or it he she we so if to of on in at by all odd even true false none"
_SHORT_WORDS = frozenset(_SHORT.split())
_COLON = re.compile(r"[A-Z]\s*:")
_OF_RATIO = re.compile(r"[A-Z]{1,2}(?::[A-Z]{1,2})*=")
_BEHIND = re.compile(r"[^A-Z=]*\s*\(([A-Z])\)")
_CIRCLED = re.compile(r"[\u2460-\u2473\s,;]+|\\text\{[\u2460-\u2473\s,;]+\}")
_SEVERAL_LETTERS = re.compile(r"[A-H]{2,5}")
_LISTED_LETTERS = re.compile(r"[A-H](?:\s*,\s*(?:and\s+)?[A-H]|\s+and\s+[A-H])+")
_AROUND_LETTERS = re.compile(r"[(){}\\]")
_OR = re.compile(r"\bor\b")
_SEPARATORS = re.compile(r"\s*[,;\s]\s*(?:and\b\s*)?")
_SAME_MEANING = (
    ("yes", "true"),
    ("no", "false"),
    (
        "no solution",
        "there is no solution",
        "there are no solution",
        "has no solution",
        "empty set",
        "\\emptyset",
        "\\{\\}",
    ),
    ("infinitely many", "infinitely many solution", "there are infinitely many solution", "\\infty", "infinite"),
)
_MEANING = {words: same[0] for same in _SAME_MEANING for words in same if words not in ("\\infty",)}
_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(?:([ap])\.?\s*m?\.*)?", re.IGNORECASE)
_ISO = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})")
_SLASHES = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2,4})")
_MONTH_NAMES = "january february march april may june july august september october november december"
_MONTHS = _MONTH_NAMES.split()
_MONTH = "|".join(f"{month}|{month[:3]}" for month in _MONTHS)
_MONTH_DAY = re.compile(rf"({_MONTH})\.?\s*(\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s*(\d{{4}}))?", re.IGNORECASE)
_DAY_MONTH = re.compile(rf"(\d{{1,2}})(?:st|nd|rd|th)?\s*(?:of\s+)?({_MONTH})\.?(?:,?\s*(\d{{4}}))?", re.IGNORECASE)


def plain(text: str) -> str:
    """A normalised text without the commands around words."""
    return " ".join(_WRAPPER.sub(r" \1 ", text).split())


def choice_of(text: str) -> str:
    """The letter in ``B``, ``(B)``, ``\\text{B}`` or ``(B) 42``; empty where there is none, or a hedge."""
    found = _ONE_LETTER.fullmatch(plain(text))
    return found[1] if found else letter_and_text(text)[0]


def letter_and_text(text: str) -> tuple[str, str]:
    """Both of ``(B) 42`` and of ``B. 42``; empty where it is nothing of the kind, or a hedge."""
    found = _LETTER_AND_TEXT.fullmatch(plain(text))
    return ("", "") if found is None or _ANOTHER_CHOICE.search(found[3]) else (found[1] or found[2], found[3])


def same_words(gold: str, answer: str) -> bool | None:  # noqa: PLR0911  (a rule a line)
    """Whether two normalised texts say the same; None where the gold is not in words but in mathematics."""
    if letter := _ONE_LETTER.fullmatch(plain(gold)):
        return letter[1] in (choice_of(answer), _choice_behind(answer))
    if (moment := _time(gold)) is not None:
        given = _time(answer)
        return given is not None and _is_same_time(moment, given)
    if (day := _date(gold)) is not None:
        return _date(answer) == day
    if circled := _circled(gold):
        return _circled(answer) == circled
    if (said := _MEANING.get(folded(gold))) is not None:
        return _MEANING.get(folded(answer)) == said
    if _SEVERAL_LETTERS.fullmatch(gold) and _SEPARATORS.search(answer):
        return _SEPARATORS.sub("", plain(answer)) == gold or None
    if _LISTED_LETTERS.fullmatch(_AROUND_LETTERS.sub("", plain(gold))) and _OR.search(plain(answer)):
        return False  # names none of them
    if not _is_text(gold):
        return None
    return (
        plain(gold) == plain(answer).strip(".,")
        if _SEVERAL_LETTERS.fullmatch(plain(gold))
        else folded(gold) == folded(answer)
    )


def label_of(gold: str) -> tuple[str, str]:
    """The letter of a gold such as ``(B) 42`` or ``C: 5``, and what it stands for; empty of any other."""
    letter, text = letter_and_text(gold)
    return ("", "") if not letter or _is_formula(gold) or _OF_RATIO.match(text) else (letter, text)


def is_choice_letter(gold: str, letter: str) -> bool:
    """Whether the letter alone may stand for a labelled gold: of ``E: 0.5`` it is the name of a quantity."""
    return letter in "ABCD" or not _COLON.match(plain(gold))


def is_dated(text: str) -> bool:
    """Whether a parser would subtract the parts of a date, or divide them."""
    return _ISO.fullmatch(text) is not None or _SLASHES.fullmatch(text) is not None


def folded(text: str) -> str:
    """Words without case, articles, punctuation and plural s."""
    words = _ARTICLE.sub("", " ".join(_PUNCTUATION.sub(" ", plain(text)).lower().split()))
    return " ".join(
        word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith("ss") else word
        for word in words.split()
    )


def _choice_behind(text: str) -> str:
    """The letter of ``42 (B)``."""
    found = _BEHIND.fullmatch(plain(text))
    return found[1] if found else ""


def _circled(text: str) -> str:
    return "".join(char for char in text if "\u2460" <= char <= "\u2473") if _CIRCLED.fullmatch(text) else ""


def _is_same_time(gold: tuple[int, int, int, str], given: tuple[int, int, int, str]) -> bool:
    """Where only one of them says which half of the day, the other must count to 24."""
    if gold[:3] == given[:3] and gold[3] in ("", given[3]):
        return True
    return bool(gold[3] or given[3]) and _of_day(gold) == _of_day(given) != ()


def _of_day(time: tuple[int, int, int, str]) -> tuple[int, ...]:
    hour, minute, second, half = time
    if half:
        return (hour % 12 + (12 if half == "p" else 0), minute, second) if 1 <= hour <= 12 else ()
    return (hour, minute, second) if hour > 12 else ()


def _is_formula(gold: str) -> bool:
    """Whether what follows the letter belongs to mathematics: ``(A)(B)``, ``(N)^{2}``."""
    words = plain(gold)
    if gold.startswith("\\text{("):
        return False  # a letter in words is no factor
    found = _LETTER_AND_TEXT.fullmatch(words)
    return found is not None and (found[3][0] in "^_+*/=(<>!-\\" and found[2] is None)


def _is_text(gold: str) -> bool:
    words = plain(gold)
    if not _TEXT_ONLY.fullmatch(words.strip(".,")):
        return False
    if words != gold or " " in words or not words.isascii():
        return True
    is_product = all(map(_MATHEMATICAL_RUNS.fullmatch, re.split("[-']", words)))  # `xy`, `B'C`; `p-q` is no compound
    return words.lower() in _SHORT_WORDS or not is_product


def _time(text: str) -> tuple[int, int, int, str] | None:
    found = _TIME.fullmatch(plain(text))
    if found is None or int(found[2]) > 59:
        return None
    return int(found[1]), int(found[2]), int(found[3] or 0), (found[4] or "").lower()


def _date(text: str) -> tuple[int, int, int] | None:
    """Year (0 where there is none), month and day."""
    words = plain(text)
    if found := _ISO.fullmatch(words):
        return _valid(int(found[1]), int(found[2]), int(found[3]))
    if found := _SLASHES.fullmatch(words):
        return int(found[3]), int(found[1]), int(found[2])
    if found := _MONTH_DAY.fullmatch(words):
        return int(found[3] or 0), _month(found[1]), int(found[2])
    if found := _DAY_MONTH.fullmatch(words):
        return int(found[3] or 0), _month(found[2]), int(found[1])
    return None


def _month(word: str) -> int:
    return next(number for number, month in enumerate(_MONTHS, 1) if month.startswith(word.lower()))


def _valid(year: int, month: int, day: int) -> tuple[int, int, int] | None:
    try:
        date(year, month, day)
    except ValueError:
        return None
    return year, month, day
