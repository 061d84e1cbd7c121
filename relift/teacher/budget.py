"""A teacher's bill: what was spent, what is out, and the most it may come to. The ledger has each request's."""

from __future__ import annotations


class Budget:
    """US dollars: what was spent and what is out, never more than the limit together."""

    def __init__(self, limit: float | None, spent: float = 0.0) -> None:
        self._limit = limit
        self._spent = spent
        self._out: list[float] = []

    @property
    def is_settled(self) -> bool:
        """Whether nothing is out that may turn out cheaper than was reserved for it."""
        return not self._out

    def reserve(self, usd: float) -> bool:
        """Whether so much may still be spent; it is then out until ``settle``."""
        if self._limit is not None and self._spent + sum(self._out) + usd > self._limit:
            return False
        self._out.append(usd)
        return True

    def spend(self, usd: float) -> None:
        """Of earlier, learnt of only now: it may bring what was spent over the limit, and nothing more is then."""
        self._spent += usd

    def settle(self, reserved: float, usd: float) -> None:
        """What was reserved has cost ``usd``, which is never more: a teacher's word cannot make a budget grow."""
        assert 0 <= usd <= reserved, (usd, reserved)
        self._out.remove(reserved)
        self._spent += usd
