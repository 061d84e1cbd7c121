"""Why an attempt brought no answer, and what that means for the next one and for the bill."""

from __future__ import annotations

from enum import Enum, auto


class Fault(Enum):
    """Why an attempt brought no answer, by what it means for the next one."""

    PASSING = auto()
    """The same request may succeed in a while."""
    TEACHER = auto()
    """No request can succeed: the key, the account, the model or the address is refused."""
    REQUEST = auto()
    """This request was refused; whether others are too, they will show."""
    WITHHELD = auto()
    """It was answered, and the answer is kept back; so would another one be."""
    UNFINISHED = auto()
    """It was answered, and the answer ended in a way that is not known to be an end."""

    @property
    def is_for_good(self) -> bool:
        """Whether the request was answered, so that to send it again is to pay again for the same."""
        return self in (Fault.WITHHELD, Fault.UNFINISHED)


class AttemptFailed(Exception):
    """One attempt brought no answer."""

    def __init__(
        self, message: str, fault: Fault, *, may_be_billed: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.fault = fault
        self.may_be_billed = may_be_billed
        self.retry_after = retry_after
        """Seconds that the server asked to wait."""


class BadReply(Exception):
    """What came is no answer; the message may still hold the key and anything else that a server likes to say."""

    def __init__(self, message: str, fault: Fault = Fault.PASSING, *, status: int | None = None) -> None:
        super().__init__(message)
        self.fault = fault
        self.status = status
        """The HTTP status that the body names, whatever status it came with."""
