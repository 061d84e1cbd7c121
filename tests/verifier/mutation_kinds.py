"""What is changed in a gold, by kind: each function proposes (start, end, new text) wherever there is a place for it.

Whether a proposed change may leave the answer right is for ``mutations.py`` to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

Edit = tuple[int, int, str]

_WORDS = re.compile(r"\\(?:text|mbox|textbf|mathrm|operatorname|begin|end|mathbb|mathbf)\s*\{[^{}]*\}")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_RUN = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{1,3}(?![A-Za-z])")
_NO_NAMES_TEXT = """
or and for hr km cm mm am pm AM PM all is the of to lcm gcd max min log sin cos tan cis mod Yes yes odd sup
sub in if It it no No dx dt dy ft kg
"""
_NO_NAMES = frozenset(_NO_NAMES_TEXT.split())
_RELATION = re.compile(
    r"<=|>=|!=|\\(?:leqslant|geqslant|leq?|geq?|neq?|notin|in|subseteq|cup|cap|parallel|perp|cong|sim|wedge|vee)"
    r"(?![A-Za-z])|\\implies|(?<![<>=])=|[<>≤≥≠]"
)
_OTHER_RELATIONS = {
    "<": (r"\le ", ">"), ">": (r"\ge ", "<"), "=": (r"\ne ", "<"), "!=": ("=",), "≠": ("=",),
    "<=": ("<", ">="), ">=": (">", "<="), "≤": ("<", "≥"), "≥": (">", "≤"),
    **dict.fromkeys([r"\leqslant", r"\leq", r"\le"], ("<", r"\ge ")),
    **dict.fromkeys([r"\geqslant", r"\geq", r"\ge"], (">", r"\le ")),
    **dict.fromkeys([r"\neq", r"\ne"], ("=",)),
    r"\in": (r"\notin",), r"\notin": (r"\in",), r"\subseteq": (r"\supseteq",), r"\cup": (r"\cap",), r"\cap": (r"\cup",),
    r"\parallel": (r"\perp",), r"\perp": (r"\parallel",), r"\cong": (r"\sim",), r"\sim": (r"\cong",),
    r"\wedge": (r"\vee",), r"\vee": (r"\wedge",), r"\implies": (r"\iff",),
}  # fmt: skip
_FUNCTIONS = {
    "sin": "cos", "cos": "sin", "tan": "cot", "cot": "tan", "ln": "sin", "log": "cos", "gcd": "max", "arcsin": "arctan",
    "lfloor": "lceil", "max": "min", "min": "max", "sum": "prod", "prod": "sum", "binom": "frac",
    "gamma": "Gamma", "Gamma": "gamma", "alpha": "beta", "beta": "alpha", "theta": "phi", "omega": "Omega", "pi": "phi",
    "rho": "sigma", "sqrt": "sin", "phi": "psi", "lambda": "mu", "zeta": "eta", "triangle": "angle",
}  # fmt: skip
_UNITS = {
    "cm": "m", "km": "m", "m": "km", "miles": "feet", "inches": "feet", "hours": "minutes", "hour": "minute",
    "hr": "min", "s": "h", "cents": "dollars", "degrees": "radians", "yuan": "dollars", "km/h": "m/s", "m/s": "km/h",
    "apples": "oranges", "square units": "cubic units", "ruble": "dollar", "am": "pm", "PM": "AM", "P.M.": "A.M.",
    "~m": "~km",
}  # fmt: skip
_UNIT = re.compile(rf"(?<![A-Za-z\\])(?:{'|'.join(sorted(map(re.escape, _UNITS), key=len, reverse=True))})(?![A-Za-z])")
_INNER = r"(?:[^(){}\[\],;|]|\([^()]*\)|\{(?:[^{}]|\{[^{}]*\})*\})+?"


def _digits(gold: str) -> Iterator[Edit]:
    """A digit becomes another one."""
    for found in re.finditer(r"\d", gold):
        for step in (1,) if "mod" in gold else (1, 3):
            yield found.start(), found.end(), str((int(found[0]) + step) % 10)


def _lengths(gold: str) -> Iterator[Edit]:
    """A number gains or loses a digit, or its point moves."""
    for found in re.finditer(r"(?<![\d.,])[1-9]\d*(?![\d.,])", gold):
        yield found.start(), found.end(), found[0] + "7"
        if len(found[0]) > 1:
            yield found.start(), found.end(), found[0][:-1]
            yield found.start(), found.end(), f"{found[0][:-1]}.{found[0][-1]}"


def _signs(gold: str) -> Iterator[Edit]:
    """A minus becomes a plus or the other way round, a number gets a minus, a plus-minus loses a branch."""
    for found in re.finditer(r"[-+]|\\pm(?![A-Za-z])", gold):
        if found[0] == r"\pm":
            yield found.start(), found.end(), "+"
        else:
            yield found.start(), found.end(), "-" if found[0] == "+" else "+"
    if re.fullmatch(r"\$?(?:[\d.]+|\\[dt]?frac\s*\{?\d[^,]*|\\sqrt[^,]*|\d*\s*\\pi)\$?", gold) and gold.strip("$0."):
        at = int(gold.startswith("$"))
        yield at, at, "-"


def _letters(gold: str) -> Iterator[Edit]:
    """A letter becomes one that the gold does not have, or another one of its own."""
    at = letter_positions(gold)
    of_gold = {gold[position] for position in at}
    for position in at:
        old = gold[position]
        if len(gold.strip("$")) == 1 and old.upper() in "ABCDE":
            yield position, position + 1, "BCDEA"["ABCDE".index(old.upper())]
            continue
        foreign = "wuvqgh" if old.islower() else "WQGHL"
        yield position, position + 1, next(letter for letter in foreign if letter not in gold)
        for other in sorted(of_gold - {old}):
            if other.islower() == old.islower():
                yield position, position + 1, other


def _cases(gold: str) -> Iterator[Edit]:
    """A letter of a formula becomes a capital, or a capital none."""
    positions = letter_positions(gold)
    if len(gold.strip("$ ")) > 1:
        yield from ((position, position + 1, gold[position].swapcase()) for position in positions)


def letter_positions(gold: str) -> list[int]:
    """Where the letters of a formula stand: in runs of at most three, no words and no names of commands."""
    hidden = [found.span() for pattern in (_WORDS, _COMMAND) for found in pattern.finditer(gold)]
    return [
        position
        for run in _RUN.finditer(gold)
        if run[0] not in _NO_NAMES and not any(start <= run.start() < end for start, end in hidden)
        for position in range(run.start(), run.end())
    ]


def _words(gold: str) -> Iterator[Edit]:
    """A letter of a word becomes another one."""
    for found in re.finditer(r"(?<!\\)(?<![A-Za-z])[A-Za-z]{4,}", gold):
        if not re.search(r"\\(?:begin|end|operatorname|mathbb|mathrm|mbox|vec|boxed)\s*\{$", gold[: found.start()]):
            middle = (found.start() + found.end()) // 2
            yield middle, middle + 1, "k" if gold[middle] not in "kK" else "r"


def _relations(gold: str) -> Iterator[Edit]:
    for found in _RELATION.finditer(gold):
        yield from ((found.start(), found.end(), other) for other in _OTHER_RELATIONS[found[0]])


def _brackets(gold: str) -> Iterator[Edit]:
    """An end of an interval is let in or out; a pair becomes a set, a set a pair."""
    is_interval = re.search(r"\[[^\]]*\)|\([^)(]*\]|\\cup", gold)
    if is_interval or re.fullmatch(r"\$?\[[^\[\]]*\]\$?", gold):
        swap = {"(": "[", ")": "]", "[": "(", "]": ")"}
        for found in re.finditer(r"[()\[\]]", gold):
            if not re.search(r"\\(?:sqrt|[A-Za-z]*frac)?\s*$|[A-Za-z]$", gold[: found.start()]):
                yield found.start(), found.end(), swap[found[0]]
    elif pair := re.fullmatch(rf"\$?\(({_INNER}),({_INNER})\)\$?", gold):
        yield 0, len(gold), rf"\{{{pair[1]},{pair[2]}\}}"
    elif several := re.fullmatch(r"\$?\\\{([^{}|:]*,[^{}|:]*)\\\}\$?", gold):
        yield 0, len(gold), f"({several[1]})"


def _bars(gold: str) -> Iterator[Edit]:
    """Bars, a line above or an arrow are dropped, or bars are put around a name."""
    for found in re.finditer(r"\|([^|]*)\||\\(?:overline|vec)\{([^{}]*)\}", gold):
        yield found.start(), found.end(), found[1] or found[2]
    if name := re.match(r"\$?\s*([a-z])\s*=\s*[^=]*$", gold):
        yield name.start(1), name.end(1), f"|{name[1]}|"


def _primes(gold: str) -> Iterator[Edit]:
    """A prime is dropped, or put behind a name."""
    for found in re.finditer(r"(?<=[A-Za-z}'])'", gold):
        yield found.start(), found.end(), ""
    if name := re.match(r"\$?\s*([A-Za-z])(?=\s*(?:\([A-Za-z0-9]\)\s*=|=|$|\$$))", gold):
        yield name.end(1), name.end(1), "'"


def _domains(gold: str) -> Iterator[Edit]:
    for found in re.finditer(r"\\mathbb\{([RZN])\}", gold):
        yield found.start(1), found.end(1), "Z" if found[1] == "R" else "R"
        if found[1] == "Z":
            yield found.start(1), found.end(1), "N"


def _units(gold: str) -> Iterator[Edit]:
    for found in _UNIT.finditer(gold):
        if re.search(r"\d[^A-Za-z]*(?:\\(?:text|mbox|mathrm)\s*\{\s*)?$|\\mathrm\{$", gold[: found.start()]):
            yield found.start(), found.end(), _UNITS[found[0]]
    for found in re.finditer(r"\^\{?\\circ\}?|°", gold):
        yield found.start(), found.end(), r" \text{ cm}"
    for found in re.finditer(r"(?:\\\$|£)(?=\d)", gold):
        yield found.start(), found.end(), "€"


def _pairings(gold: str) -> Iterator[Edit]:
    """Two parts change places whose order counts: in a tuple, a ratio, a fraction, a power, of two names."""
    part = r"(?:[^(){}\[\],;|<>=]|\([^()]*\)|\{(?:[^{}]|\{[^{}]*\})*\})+?"
    for shape in (
        rf"(?<=[(\[])({part})(\s*[,;]\s*)({part})(?=\\right|[)\],;])",
        rf"(?<=[,;])({part})(\s*[,;]\s*)({part})(?=\\right|[)\]])",
        r"(?<![\d.])(\d+)(\s*:\s*)(\d+)(?![\d:])",
        r"(?<=frac)(\{[^{}]*\})()(\{[^{}]*\})",
        rf"(?<==)({part})((?:\$?\s*[,;]\s*\$?|\s*\\text\{{ and \}})[^=<>,;]{{1,8}}=)({part})(?=\$?$|[,;])",
        r"(?<=: )([\d.]+)(.*?: )([\d.]+)",
        r"(?<=[a-z] = )(\d+)(, )(-?\d+)",
        r"([A-Za-z]+)(\s*(?:<|\\subseteq|\\implies|\\le)\s*)([A-Za-z]+)",
        r"(-?\d+)(\s*<\s*[A-Za-z]\s*<\s*)(-?\d+)",
        r"(?<![\d.])(\d+)(\^)(\d)(?!\d)",
        r"(-?\d+)(\s*(?:&|\\\\)\s*)(-?\d+)",
    ):
        for found in re.finditer(shape, gold):
            yield found.start(), found.end(), found[3] + found[2] + found[1]


def _names(gold: str) -> Iterator[Edit]:
    """A function or a letter with a name becomes another one."""
    for found in re.finditer(r"\\([A-Za-z]+)", gold):
        if found[1] in _FUNCTIONS:
            yield found.start(1), found.end(1), _FUNCTIONS[found[1]]


def _dots(gold: str) -> Iterator[Edit]:
    """What goes on stops, and a decimal that repeats ends."""
    for found in re.finditer(r"[+,]?\s*\\ldots(?:,)?", gold):
        yield found.start(), found.end(), ""
    for found in re.finditer(r"\.(\d*)\\overline\{(\d+)\}", gold):
        yield found.start(), found.end(), f".{found[1]}{found[2]}"


def _connectives(gold: str) -> Iterator[Edit]:
    for found in re.finditer(r"(?<=\\text\{ )(?:or|and)(?= \})", gold):
        yield found.start(), found.end(), "and" if found[0] == "or" else "or"


def _scripts(gold: str) -> Iterator[Edit]:
    """An exponent or an index is dropped."""
    for found in re.finditer(r"\s*[_^](?:\{[^{}]*\}|[A-Za-z0-9])", gold):
        yield found.start(), found.end(), ""


def _arguments(gold: str) -> Iterator[Edit]:
    """The value of a function becomes the function, or a product."""
    for found in re.finditer(r"(?<![A-Za-z\\])[A-Za-z]\(([A-Za-z0-9])\)", gold):
        yield found.start(), found.end(), found[0][0]
        yield found.start(), found.end(), found[0][0] + found[1]


KINDS: dict[str, Callable[[str], Iterator[Edit]]] = {
    "digit": _digits,
    "length": _lengths,
    "sign": _signs,
    "letter": _letters,
    "case": _cases,
    "word": _words,
    "relation": _relations,
    "bracket": _brackets,
    "bars": _bars,
    "prime": _primes,
    "domain": _domains,
    "unit": _units,
    "pairing": _pairings,
    "name": _names,
    "dots": _dots,
    "connective": _connectives,
    "script": _scripts,
    "argument": _arguments,
}
