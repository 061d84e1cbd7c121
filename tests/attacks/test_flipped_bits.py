"""One bit turned anywhere in the ledger of a run: the check finds it, or it harms nothing."""

import random

import pytest

from relift.ledger import Ledger, schema
from tests.bench.ledger_history import History
from tests.ledger.flipped_bits import digest_after_more_writing, flipped, is_found, one_position_a_block

pytestmark = pytest.mark.attacks
POSITIONS = 60
"""By chance, and one in each block besides."""


def test_wherever_a_bit_is_turned_the_check_finds_it_or_the_run_goes_on_as_before(tmp_path):
    path = tmp_path / "bench-0" / schema.LEDGER
    history = History(attempts=2000)
    with Ledger.open(path, history.run) as ledger:
        history.write(ledger)
        digest = ledger.digest()
    content, rng = path.read_bytes(), random.Random(0)
    offsets = [*one_position_a_block(content), *(rng.randrange(len(content)) for _ in range(POSITIONS))]
    found = 0
    for offset in offsets:
        path.write_bytes(flipped(content, offset, rng.randrange(8)))
        if is_found(path):
            found += 1
        else:
            assert digest_after_more_writing(path, history.run) == digest, f"byte {offset}"
    assert found > len(offsets) / 2
