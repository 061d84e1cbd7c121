"""`python -m tests.bench.plain_math_verify < PAIRS.json`: math-verify as a user calls it, in one process.

For each (gold, completion) of the JSON list `verify(parse(f"${gold}$"), parse(completion))`, with every setting at its
default, after one call on another pair, so that neither the import nor the first parser is counted. Prints the seconds
of the whole loop and the number of pairs that it calls equal.
"""

from __future__ import annotations

import json
import logging
import sys
import time

from math_verify import parse, verify


def main() -> None:
    logging.disable(logging.CRITICAL)
    pairs = json.load(sys.stdin)
    verify(parse(r"$\frac{1}{2}$"), parse(r"The answer is $\boxed{0.5}$."))
    began = time.perf_counter()
    equal = sum(verify(parse(f"${gold}$"), parse(completion)) for gold, completion in pairs)
    print(json.dumps({"seconds": time.perf_counter() - began, "equal": equal}))


if __name__ == "__main__":
    main()
