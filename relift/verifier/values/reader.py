"""Reading a normalised expression into an exact value, or finding that it is not for us to read.

Whatever is unknown or ambiguous (``1/2x``, ``\\sin xy``, an integral) is left to the computer algebra system. Nothing
in the text is left out of the value: ``x'``, ``\\vec{x}``, ``x(0)``, ``\\gcd(m,n)``, ``\\ldots`` are names as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

from relift.verifier.values.exact import ONE_VALUE, Value, function, letter, number, unknown_function
from relift.verifier.values.functions import binomial, factorial, logarithm, natural_logarithm
from relift.verifier.values.polynomials import TooMuch
from relift.verifier.values.samples import Number
from relift.verifier.values.tokens import LETTER_COMMANDS, NotRead, Tokens

MAX_DEPTH = 25

_AFTER_DIGIT = re.compile(r"\d\s+\d")
_MARKS = frozenset(
    ("\\vec", "\\overline", "\\bar", "\\hat", "\\widehat", "\\tilde", "\\dot", "\\ddot", "\\overrightarrow")
)
_VECTORS = frozenset(("\\vec", "\\overrightarrow"))
_APPLIED = frozenset("fghFGHPQ")  # followed by a bracket they are functions more often than factors
_CONSTANTS = frozenset(("\\pi", "e", "i"))  # followed by a bracket they are factors
_OF_SEVERAL: dict[str, Callable[..., int | Fraction]] = {
    "\\gcd": math.gcd,
    "\\lcm": math.lcm,
    "\\max": max,
    "\\min": min,
}
_DIGITS = frozenset("0123456789.")
_TIMES = frozenset(("\\cdot", "\\times", "*"))
_FUNCTIONS: dict[str, Callable[[Any], Number] | None] = {
    "\\sin": math.sin, "\\cos": math.cos, "\\tan": math.tan, "\\arcsin": math.asin, "\\arccos": math.acos,
    "\\arctan": math.atan, "\\sinh": math.sinh, "\\cosh": math.cosh, "\\tanh": math.tanh, "\\ln": None,
    "\\cot": lambda x: 1 / math.tan(x), "\\sec": lambda x: 1 / math.cos(x), "\\csc": lambda x: 1 / math.sin(x),
    "\\log": None, "\\exp": None,
}  # fmt: skip
_FENCES: dict[str, tuple[str, Callable[[Any], Number]]] = {
    "|": ("|", abs),
    "\\lfloor": ("\\rfloor", lambda one: Fraction(math.floor(one))),
    "\\lceil": ("\\rceil", lambda one: Fraction(math.ceil(one))),
}
_STARTS_NO_FACTOR = frozenset((",", ")", "}", "]", "+", "-", "/", "^", "_", "!", "\\%", "|", "\\rfloor", "\\rceil"))


@lru_cache(maxsize=512)
def read(text: str) -> Value | None:
    """The value of a normalised expression; None where it is not read here."""
    try:
        reader = _Reader(text)
        value = reader.expression()
        return replace(value, text=text) if reader.at_end() else None
    except (NotRead, TooMuch, RecursionError, OverflowError, ValueError):
        return None


class _Reader(Tokens):
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.has_vectors = not _VECTORS.isdisjoint(self.tokens)
        self.mixes_numbers = bool(_AFTER_DIGIT.search(text))

    def expression(self) -> Value:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NotRead
        sign = self.take() if self.peek() in ("+", "-") else "+"
        total = self.term()
        total = total.negative() if sign == "-" else total
        while self.peek() in ("+", "-"):
            sign = self.take()
            term = self.term()
            total = total.plus(term.negative() if sign == "-" else term)
        self.depth -= 1
        return total

    def term(self) -> Value:
        product, is_divided = self.factor(), False
        while token := self.peek():
            if token in _TIMES or token == "/":
                self.take()
                is_negative = self.peek() == "-"
                if is_negative:
                    self.take()
                factor = self.factor()
                factor = factor.negative() if is_negative else factor
                if token == "\\times" and self.has_vectors and not (product.rational or factor.rational):
                    product = unknown_function(token, [product, factor])  # `\vec{a}\times\vec{b}` is not `\cdot`
                    continue
                product, is_divided = (product.over(factor), True) if token == "/" else (product.times(factor), False)
            elif token in _STARTS_NO_FACTOR:
                break
            elif is_divided or (token[0] in _DIGITS and self.tokens[self.position - 1] not in ")}"):
                raise NotRead  # 1/2x, x2; but (n-2)2^{n} is a product
            else:
                product = product.times(self.factor())
        return product

    def factor(self) -> Value:
        value = self.base()
        while self.peek() in ("^", "!", "\\%"):
            if self.peek() == "\\%":
                self.take()
                value = value.times(number(Fraction(1, 100)))
            elif self.take() == "!":
                if self.peek() == "!":
                    raise NotRead  # 5!! is another function
                value = factorial(value)
            else:
                value = value.power(self.exponent())
                if self.peek() == "^":
                    raise NotRead
        return value

    def exponent(self) -> Value:
        if self.peek() == "{":
            return self.group("{", "}")
        raise NotRead  # normalising puts every exponent in braces

    def group(self, opening: str, closing: str) -> Value:
        self.take(opening)
        value = self.expression()
        self.take(closing)
        return value

    def base(self) -> Value:  # noqa: PLR0911  (a rule a line)
        token = self.take()
        if token[0] in _DIGITS:
            return self.numeral(token)
        if token[0].isalpha() or token in LETTER_COMMANDS:
            return self.symbol(token)
        if token.startswith("\\text{"):
            return self.symbol(token[6])
        if token in _MARKS:
            return self.marked(token)
        if token == "\\ldots":
            return letter(token)
        if token in ("(", "{", "["):
            self.position -= 1
            return self.group(token, {"(": ")", "{": "}", "[": "]"}[token])
        return self.fenced(token) if token in _FENCES else self.command(token)

    def fenced(self, token: str) -> Value:
        closing, compute = _FENCES[token]
        value = self.expression()
        self.take(closing)
        return function(token, [value], compute)

    def numeral(self, token: str) -> Value:
        if len(token) > 600:
            raise NotRead
        value = Fraction(int(token)) if token.isdigit() else Fraction(token.rstrip("."))
        if "." not in token and (part := self.mixed_part()) is not None:
            value += part
        elif self.mixes_numbers and (self.peek()[:1].isdigit() or self.peek()[:1] == "."):
            raise NotRead  # two numbers side by side
        return number(value)

    def mixed_part(self) -> Fraction | None:
        """The fraction right after a whole number: ``1\\frac{1}{2}`` and ``1 1/2`` are sums, never products."""
        ahead = [self.peek(n) for n in range(7)]
        if ahead[0] == "\\frac" and [ahead[1], ahead[3], ahead[4], ahead[6]] == ["{", "}", "{", "}"]:
            top, bottom, length = ahead[2], ahead[5], 7
        elif ahead[0].isdigit() and ahead[1] == "/":
            top, bottom, length = ahead[0], ahead[2], 3
        else:
            return None
        if not (top.isdigit() and bottom.isdigit() and int(bottom)):
            return None
        self.position += length
        return Fraction(int(top), int(bottom))

    def symbol(self, token: str) -> Value:
        name = token
        if self.peek() == "_":
            name += self.index()
        if self.peek() == "(" and token not in _CONSTANTS and (token[0] in _APPLIED or self.is_plain_argument()):
            return self.application(name)
        if token[0] in _APPLIED and self.peek() == "^" and "(" in (self.peek(4), self.peek(5)):
            raise NotRead  # f^{2}(x), f^{-1}(x)
        return letter(name)

    def is_plain_argument(self) -> bool:
        """Whether the bracket holds one number or letter, as in ``N(0)``, or commas: no factor is written like that."""
        if self.peek(2) == ")":
            return True
        end = self.tokens.index(")", self.position) if ")" in self.tokens[self.position :] else -1
        return "," in self.tokens[self.position : end]

    def application(self, name: str) -> Value:
        """``f(x)`` by name; of ``P(1+r)^{t}`` nobody knows whether it is one."""
        arguments = self.arguments()
        if name[0] in "PQ" and self.peek() == "^":
            raise NotRead
        return unknown_function(name, arguments)

    def arguments(self) -> list[Value]:
        self.take("(")
        arguments = [self.expression()]
        while self.peek() == ",":
            self.take()
            arguments.append(self.expression())
        self.take(")")
        return arguments

    def marked(self, mark: str) -> Value:
        """``\\vec{v}`` and ``\\overline{AB}`` as names."""
        self.take("{")
        name = ""
        while (token := self.take()) != "}":
            if not (token[0].isalpha() or token in LETTER_COMMANDS):
                raise NotRead
            name += token
        name = f"{mark}{{{name}}}"
        if self.peek() == "_":
            name += self.index()
        return letter(name)

    def command(self, token: str) -> Value:
        if token == "\\frac":
            return self.group("{", "}").over(self.group("{", "}"))
        if token == "\\sqrt":
            degree = self.group("[", "]") if self.peek() == "[" else number(2)
            return self.group("{", "}").power(ONE_VALUE.over(degree), is_root=True)
        if token == "\\binom":
            return binomial(self.group("{", "}"), self.group("{", "}"))
        if token in _FUNCTIONS:
            return self.function(token)
        if token in _OF_SEVERAL:
            return self.of_several(token)
        raise NotRead

    def of_several(self, token: str) -> Value:
        """``\\gcd(12,18)`` as its number, ``\\gcd(m,n)`` by name."""
        arguments = self.arguments()
        numbers = [one.rational for one in arguments]
        known = [one for one in numbers if one is not None]
        if len(known) == len(arguments):
            if token in ("\\max", "\\min"):
                return number(_OF_SEVERAL[token](known))
            if all(one.denominator == 1 for one in known):
                return number(_OF_SEVERAL[token](*map(int, known)))
        return unknown_function(token, sorted(arguments, key=lambda one: str(sorted(map(str, one.top.items())))))

    def function(self, token: str) -> Value:
        compute, base = _FUNCTIONS[token], None
        if token == "\\log" and self.peek() == "_":
            self.take()
            base = self.group("{", "}")
        power = None
        if self.peek() == "^":
            self.take()
            power = self.exponent()
            if power.rational is None or power.rational <= 0:
                raise NotRead  # \sin^{-1} is another function
        argument = self.argument()
        if token == "\\exp":
            return letter("e").power(argument)
        if token in ("\\ln", "\\log"):
            value = natural_logarithm(argument) if token == "\\ln" else logarithm(argument, base)
        else:
            value = function(token, [argument], compute)
        return value if power is None else value.power(power)

    def argument(self) -> Value:
        """Of a function: a bracket, or at most a number and a letter that end the factor."""
        if self.peek() in ("(", "{", "|"):
            return self.factor_without_power()
        value = self.factor()
        if self.tokens[self.position - 1][0].isdigit() and (
            self.peek()[:1].isalpha() or self.peek() in LETTER_COMMANDS
        ):
            value = value.times(self.factor())
        following = self.peek()
        if following and following not in _STARTS_NO_FACTOR and following not in _FUNCTIONS and following not in _TIMES:
            raise NotRead  # \sin xy
        if following == "/":
            raise NotRead
        return value

    def factor_without_power(self) -> Value:
        value = self.base()
        if self.peek() in ("^", "!"):
            raise NotRead  # \sin(x)^2 is read in two ways
        return value
