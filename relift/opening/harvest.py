"""Opening a harvest: every check that can fail for a user's mistake, before anything is asked."""

from __future__ import annotations

from importlib.metadata import version

from relift.config import RunConfig
from relift.errors import ConfigError
from relift.interrupt import StopFlag
from relift.opening.groundwork import groundwork, record_start
from relift.run.harvest import Harvest
from relift.teacher.connect import connect
from relift.teacher.own import require_own_teachers


def open_harvest(config: RunConfig, name: str, *, stop: StopFlag | None = None) -> Harvest:
    """Raises a UserError for whatever a user can cause, before anything is asked."""
    if not config.needs_teachers:
        raise ConfigError("a harvest looks for demonstrations, and sft is off in this recipe: leave sft=off out")
    require_own_teachers(config)
    with groundwork(config, name, stop) as ground:
        ground.acquire()
        api = connect(config, ground.student, ground.store)  # the last check, since to ask costs something
        ledger = ground.ledger()
        record_start(ledger, config, code_version=version("relift"))
        harvest = Harvest(
            name=name,
            config=config,
            store=ground.store,
            lock=ground.lock,
            ledger=ledger,
            verifier=ground.verifier,
            teachers=ground.teachers(api, ledger),
            stop=ground.stop,
        )
        # At once, since its ledger is what a harvest begins with: from here on the working copy of a bucket is kept.
        harvest.publish()
    return harvest
