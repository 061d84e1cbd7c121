"""The groups of commands: `relift ledger ...` and `relift arithmetic ...`. Heavy imports are inside the commands."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

arithmetic = typer.Typer(no_args_is_help=True, help="The embedded default: question families and their base model.")
ledger = typer.Typer(no_args_is_help=True, help="The ledgers as files: checked, rebuilt, several as one, out and in.")
Store = Annotated[str, typer.Option("--store", help="Folder that holds the runs, or s3://bucket/prefix.")]


class ExportFormat(StrEnum):
    """What `relift ledger export` writes."""

    DATASET = "dataset"
    JSONL = "jsonl"
    PARQUET = "parquet"


@ledger.command()
def check(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run; the snapshots of all runs when empty.")] = None,
    store: Store = "runs",
) -> None:
    """Whether ledgers agree with themselves: sums, references, keys, and every block readable."""
    from flows.cli.upkeep import check_command
    from relift.store.snapshots import ledgers_folder

    check_command(ledgers_folder(store), run)


@ledger.command()
def rebuild(run: Annotated[Path, typer.Argument(help="Folder of a run, e.g. runs/demo-0.")]) -> None:
    """Make a run's ledger again from the phases that it recorded."""
    from flows.cli.upkeep import rebuild_command

    rebuild_command(run)


@ledger.command()
def attach(
    location: Annotated[
        str, typer.Argument(help="Folder of runs, a run, a ledger file or exported Parquet; s3:// too. Empty: list.")
    ] = "",
    name: Annotated[
        str, typer.Option("--as", help="Its runs are called NAME/RUN; the location's own name if empty.")
    ] = "",
    store: Store = "runs",
) -> None:
    """Read the ledgers of another project beside this one's: in `sql`, `hard`, `show` and hard_examples.sql."""
    from flows.cli.ledger import attach_command

    attach_command(store, location, name)


@ledger.command()
def detach(
    location: Annotated[str, typer.Argument(help="Name or path of an attached location.")], store: Store = "runs"
) -> None:
    """Leave an attached location out again; the location itself is not touched."""
    from flows.cli.ledger import detach_command

    detach_command(store, location)


@ledger.command()
def export(
    target: Annotated[str, typer.Argument(help="Folder to write, for jsonl a file; for parquet s3:// too.")],
    run: Annotated[list[str], typer.Option("--run", help="Of these runs; all when empty.")] = [],  # noqa: B006
    state: Annotated[list[str], typer.Option("--state", help="Hard questions in these states; all when empty.")] = [],  # noqa: B006
    form: Annotated[
        ExportFormat,
        typer.Option("--format", help="dataset: Hugging Face folder; jsonl: questions to solve; parquet: all tables."),
    ] = ExportFormat.DATASET,
    gold: Annotated[bool, typer.Option(help="jsonl: write the gold answers beside the questions.")] = True,
    store: Store = "runs",
) -> None:
    """The hard questions with their verified demonstrations as a dataset, as questions for people, or whole ledgers."""
    from flows.cli.ledger import export_command

    export_command(store, target, runs=run, states=state, form=form, with_gold=gold)


@ledger.command("import")
def import_(
    path: Annotated[
        str, typer.Argument(help="Filled-in .jsonl, an exported folder, a ledger, a folder of runs; s3://.")
    ],
    run: Annotated[
        list[str], typer.Option("--run", help="For these runs; for all of the project, later ones too, when empty.")
    ] = [],  # noqa: B006
    skip_rejected: Annotated[
        bool, typer.Option("--skip-rejected", help="Take the solutions that pass, and leave the others out.")
    ] = False,
    store: Store = "runs",
) -> None:
    """Hand solutions to runs: each verified against the gold answer, all of them taken or none."""
    from flows.cli.ledger import import_command

    import_command(store, path, runs=run, skip_rejected=skip_rejected)


@arithmetic.command("build-base")
def build_base(
    seed: Annotated[int, typer.Option(min=0, help="Of corpus and weights.")] = 0,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimizer steps; the committed base's when empty.")] = None,
    out: Annotated[Path, typer.Option(help="Folder that the model is written to.")] = Path("base"),
) -> None:
    """Train the embedded base model anew; minutes on one core."""
    from flows.cli.ask import build_base_model

    build_base_model(out, seed, steps)
