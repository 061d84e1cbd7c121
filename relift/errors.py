"""Everything relift raises on purpose.

    ReliftError
    |- UserError (also ValueError)   a user can mend it: shown as one message, without a traceback
    |  |- ConfigError                a key, a value or a combination of them
    |  |- DataError                  a dataset, a row, a column, a gold answer
    |  |- ModelError                 a model folder or tokenizer
    |  |- StoreError                 an artifact that is missing, damaged or cannot be written
    |  |- TeacherError               a teacher's key, model or address
    |  |- LedgerError                the database or a query on it
    |  |  `- NewerLedgerError        a later relift wrote it
    |  |- RuleError                  an answer of a rule of one's own
    |  `- RunError                   the run's name, its lock
    |     `- ResumeError             a run of that name is there, and is another one
    |- SelfCheckFailed               a check of contract 9 refused to go on
    `- Interrupted                   the user asked to stop; what was recorded is kept

A message says what is wrong, what was found, why it matters and what to do, and never holds a secret.
"""

from __future__ import annotations

from collections.abc import Sequence


class ReliftError(Exception):
    """Something that relift itself noticed."""


class UserError(ReliftError, ValueError):
    """Something that the user can mend; the command line prints the message alone."""


class ConfigError(UserError):
    """A configuration key or value cannot be used."""


class DataError(UserError):
    """A dataset cannot be used as it is."""


class ModelError(UserError):
    """A model or its tokenizer cannot be used as it is."""


class StoreError(UserError):
    """An artifact is missing, damaged or cannot be written."""


class TeacherError(UserError):
    """A teacher's key, model or address cannot be used."""


class LedgerError(UserError):
    """The ledger or a question put to it cannot be used."""


class NewerLedgerError(LedgerError):
    """The ledger was written by a later relift, and is whole for all that this one can say."""


class RuleError(UserError):
    """A rule answered what cannot be done."""


class RunError(UserError):
    """A run cannot be started or resumed under this name."""


class ResumeError(RunError):
    """The run of that name was started from something else, or cannot be read; ``differences`` says in what."""

    def __init__(self, found: str, mend: str, differences: Sequence[str] = ()) -> None:
        super().__init__(found, mend, differences)
        self.found = found
        self.mend = mend
        """What lets it go on, as a request without its full stop."""
        self.differences = tuple(differences)

    def __str__(self) -> str:
        return f"{self.found} {self.mend}."

    def or_else(self, advice: str) -> ResumeError:
        """The same with what whoever asked can do besides: under which options another run begins is not known here."""
        return ResumeError(self.found, f"{self.mend}, or {advice}", self.differences)


class SelfCheckFailed(ReliftError):
    """A self-check refused to go on, since training further would not mean what it says."""


class Interrupted(ReliftError):
    """The user asked the run to stop; running the same command again resumes it."""
