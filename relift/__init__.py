"""relift from Python: recipes, runs, their ledgers, the verifier, the records; docs/python.md shows each in use.

Nothing is loaded before it is used: ``import relift`` costs no torch, no DuckDB and no pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relift.config import RunConfig
    from relift.config.recipe import load_recipe, recipe_names
    from relift.errors import ReliftError, UserError
    from relift.interleave.rule import Distil, Drop, GuidedPrompt, Join, Moment, Partial, Rule, Supervise
    from relift.learning.tokens import Objective, PolicyTokens
    from relift.ledger import Ledger, Table, open_project, query
    from relift.opening.run import open_run
    from relift.policy.own_engine import EngineInputs
    from relift.policy.sampling_request import Prompt, SamplingRequest
    from relift.records import (
        Completion,
        Demonstration,
        EvalResult,
        FinishReason,
        GradedCompletion,
        IterationReport,
        Question,
        Rollout,
        RolloutGroup,
        Status,
        Turn,
        UpdateReport,
        Verdict,
        question_id,
    )
    from relift.run.identity import find_run
    from relift.run.run import Run
    from relift.verifier import Verifier

_HOMES = {
    "relift.config": ("RunConfig",),
    "relift.config.recipe": ("load_recipe", "recipe_names"),
    "relift.errors": ("ReliftError", "UserError"),
    "relift.interleave.rule": ("Distil", "Drop", "GuidedPrompt", "Join", "Moment", "Partial", "Rule", "Supervise"),
    "relift.learning.tokens": ("Objective", "PolicyTokens"),
    "relift.ledger": ("Ledger", "Table", "open_project", "query"),
    "relift.policy.own_engine": ("EngineInputs",),
    "relift.policy.sampling_request": ("Prompt", "SamplingRequest"),
    "relift.records": (
        "Completion",
        "Demonstration",
        "EvalResult",
        "FinishReason",
        "GradedCompletion",
        "IterationReport",
        "Question",
        "Rollout",
        "RolloutGroup",
        "Status",
        "Turn",
        "UpdateReport",
        "Verdict",
        "question_id",
    ),
    "relift.run.identity": ("find_run",),
    "relift.opening.run": ("open_run",),
    "relift.run.run": ("Run",),
    "relift.verifier": ("Verifier",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Completion",
    "Demonstration",
    "Distil",
    "Drop",
    "EngineInputs",
    "EvalResult",
    "FinishReason",
    "GradedCompletion",
    "GuidedPrompt",
    "IterationReport",
    "Join",
    "Ledger",
    "Moment",
    "Objective",
    "Partial",
    "PolicyTokens",
    "Prompt",
    "Question",
    "ReliftError",
    "Rollout",
    "RolloutGroup",
    "Rule",
    "Run",
    "RunConfig",
    "SamplingRequest",
    "Status",
    "Supervise",
    "Table",
    "Turn",
    "UpdateReport",
    "UserError",
    "Verdict",
    "Verifier",
    "find_run",
    "load_recipe",
    "open_project",
    "open_run",
    "query",
    "question_id",
    "recipe_names",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # a type checker is to know the names above alone, and to find a misspelt one

    def __getattr__(name: str) -> object:
        if name not in _HOME_OF:
            raise AttributeError(f"module 'relift' has no attribute {name!r}; it offers {', '.join(__all__)}")
        value = globals()[name] = getattr(import_module(_HOME_OF[name]), name)
        return value
