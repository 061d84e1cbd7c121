"""The command line: `relift`. Every heavy import is inside a command, so that help is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.groups import Store, arithmetic, ledger
from flows.private import keep_private
from flows.terminal.text import lines
from relift.errors import ReliftError, UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(arithmetic, name="arithmetic")
app.add_typer(ledger, name="ledger")
Settings = Annotated[list[str], typer.Option("--set", metavar="A.B=VALUE", help="Change a setting of the recipe.")]
Name = Annotated[str, typer.Option("--name", help="Name of the run; <recipe>-<seed> when empty.")]


@app.callback()
def about() -> None:
    """ReLIFT: reinforcement learning, and fine-tuning on the questions that no rollout solves."""


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe (demo, gsm8k, ...) or a TOML file.")],
    settings: Settings = [],  # noqa: B006 - typer reads the default and does not change it
    name: Name = "",
    fresh: Annotated[bool, typer.Option("--fresh", help="Remove the run of that name first.")] = False,
) -> None:
    """Train, or go on with a run that was stopped: the same command resumes it."""
    from flows.cli.run import train_command

    train_command(recipe, settings, name, fresh)


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="URI or folder of a run: s3://bucket/prefix/demo-0, runs/demo-0.")],
    settings: Annotated[
        list[str], typer.Option("--set", metavar="A.B=VALUE", help="Change a setting that may change on resume.")
    ] = [],  # noqa: B006
) -> None:
    """Go on with a run, on whichever machine, from its URI alone."""
    from flows.cli.run import resume_command

    resume_command(run, settings)


@app.command()
def evaluate(
    recipe: Annotated[
        str, typer.Argument(help="A shipped recipe, a TOML file, or a run's folder: whose model is evaluated.")
    ],
    settings: Settings = [],  # noqa: B006
    name: Name = "",
) -> None:
    """Evaluate a recipe's model, or what a run trained, on its held-out questions, without training."""
    from flows.cli.run import evaluate_command

    evaluate_command(recipe, settings, name)


@app.command()
def harvest(
    recipe: Annotated[
        str, typer.Argument(help="A shipped recipe, a TOML file, or a run's folder or URI: whose teachers are asked.")
    ],
    settings: Settings = [],  # noqa: B006
    name: Annotated[str, typer.Option("--name", help="Name of the harvest; harvest-<recipe>-<seed> when empty.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Open questions to ask for, at most.")] = 10_000,
) -> None:
    """Ask the teachers for solutions of the project's open questions, without training."""
    from flows.cli.run import harvest_command

    harvest_command(recipe, settings, name, limit)


@app.command()
def compare(
    study: Annotated[str, typer.Argument(help="TOML file: methods, seeds and a budget (docs/comparing.md).")],
    settings: Annotated[
        list[str], typer.Option("--set", metavar="A.B=VALUE", help="Change a setting of all runs.")
    ] = [],  # noqa: B006
    only: Annotated[
        str, typer.Option("--only", metavar="METHOD:SEED", help="This run alone, even where its result stands.")
    ] = "",
    order: Annotated[str, typer.Option("--order", help="Which runs come first: seeds or methods.")] = "seeds",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folders of runs whose result is written.")] = False,
    results: Annotated[str, typer.Option("--results", help="Folder of the results.")] = "docs/studies",
) -> None:
    """Run every method of a study under every seed, or go on with it, and print what came of it with intervals."""
    from flows.cli.compare import compare_command

    compare_command(study, settings, only=only, order=order, keep=keep, results=results)


@app.command()
def serve(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Of the Prefect server and its UI.")] = 4200,
    host: Annotated[str, typer.Option("--host", help="0.0.0.0 lets every machine in.")] = "127.0.0.1",
    cpu_runs: Annotated[int, typer.Option("--cpu-runs", min=1, help="Flow runs at a time on the pool cpu.")] = 2,
    gpu_runs: Annotated[int, typer.Option("--gpu-runs", min=1, help="Flow runs at a time on the pool gpu.")] = 1,
    pools: Annotated[list[str], typer.Option("--pool", help="Start a worker for this pool alone.")] = [],  # noqa: B006
) -> None:
    """Prefect server, work pools, deployments and workers on this machine, until Ctrl-C.

    With PREFECT_API_URL set: that server, and the workers here.
    """
    from flows.server.serve import serve_command

    serve_command(host=host, port=port, cpu_runs=cpu_runs, gpu_runs=gpu_runs, pools=pools)


@app.command()
def deploy() -> None:
    """Pools, queues and the deployments of prefect.yaml on the server at PREFECT_API_URL, and nothing else."""
    from flows.server.serve import deploy_command

    deploy_command()


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="A SELECT on the ledgers of all runs.")], store: Store = "runs"
) -> None:
    """Ask the ledger in SQL."""
    from flows.cli.ask import print_query
    from relift.store.snapshots import ledgers_folder

    print_query(ledgers_folder(store), query)


@app.command()
def hard(
    query: Annotated[str, typer.Argument(help="Name of a query; without one they are listed.")] = "",
    run: Annotated[str, typer.Option("--run", help="Of this run alone, or of several: 'demo-*'.")] = "",
    since: Annotated[int | None, typer.Option("--since", min=0, help="From this iteration on.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Rows at most; 20 in a table, else all when empty.")
    ] = None,
    form: Annotated[str, typer.Option("--format", help="table, json, csv or parquet; as --out ends when empty.")] = "",
    out: Annotated[str, typer.Option("--out", help="File to write instead of the terminal.")] = "",
    show_page: Annotated[bool, typer.Option("--open", help="browse: open the page that was written.")] = False,
    store: Store = "runs",
) -> None:
    """The hard questions: unsolved, taught, what became of them, what it cost, whether it worked.

    `relift hard browse` writes one HTML page to search them all.
    """
    if query == "browse":
        from flows.cli.browse import browse_command

        browse_command(store, run=run, since=since, limit=limit, form=form, out=out, is_opened=show_page)
        return
    from flows.cli.hard import hard_command

    hard_command(store, query, run=run, since=since, limit=limit, form=form, out=out)


@app.command()
def show(
    question: Annotated[str, typer.Argument(help="Id, beginning of an id, or text of a question.")],
    store: Store = "runs",
) -> None:
    """One question through all phases: rollouts, verdicts, demonstration, update."""
    from flows.cli.ask import print_story
    from relift.store.snapshots import ledgers_folder

    print_story(ledgers_folder(store), question)


@app.command(context_settings={"ignore_unknown_options": True})
def verify(
    what: Annotated[
        list[str], typer.Argument(metavar="GOLD ANSWER | FILE", help="Two texts; or a .jsonl or .parquet file.")
    ],
    out: Annotated[Path | None, typer.Option("--out", help="File: where its rows go, with their verdicts.")] = None,
    form: Annotated[
        str, typer.Option("--form", help="answer: bare answers; response: completions that hold them.")
    ] = "answer",
    answer_form: Annotated[
        str,
        typer.Option(
            "--answer-form", help="Where a completion has it: boxed, hashes (####), either, flexible, equals."
        ),
    ] = "either",
    final_answer: Annotated[
        str, typer.Option("--final-answer", help="Which of several in a completion counts: last or first.")
    ] = "last",
    kind: Annotated[str, typer.Option("--kind", help="math, choice, text, number, callable.")] = "math",
    tolerance: Annotated[float | None, typer.Option("--tolerance", help="number: relative to the gold.")] = None,
    rounded_golds: Annotated[
        bool, typer.Option("--rounded-golds", help="math: an exact answer is right where it rounds to the gold.")
    ] = False,
    function: Annotated[
        str | None, typer.Option("--callable", metavar="PACKAGE.MODULE:FUNCTION", help="callable: f(gold, answer).")
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", help="callable: for one answer, at most.")] = None,
    think_opened: Annotated[
        bool, typer.Option("--think-opened", help="The prompts opened the reasoning: answers follow </think>.")
    ] = False,
    thinking: Annotated[
        str,
        typer.Option("--thinking", help="must-close: an answer follows the reasoning; ignored: the last one counts."),
    ] = "must-close",
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes; one a core, at most 8.")] = None,
) -> None:
    """Whether an answer is the gold answer: for one pair (exit status 0 when it is, else 1), or for a file's rows.

    A file has the columns gold and answer; status, extracted, path, seconds and reason are added.
    """
    from flows.cli.verify import verify_command

    is_correct = verify_command(
        what,
        out=out,
        form=form,
        think_opened=think_opened,
        workers=workers,
        options={
            "answer_form": answer_form,
            "final_answer": final_answer,
            "rounded_golds": rounded_golds,
            "answer_kind": kind,
            "answer_tolerance": tolerance,
            "answer_callable": function,
            "answer_seconds": seconds,
            "thinking": thinking,
        },
    )
    sys.exit(0 if is_correct else 1)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="Folder of a run, e.g. runs/demo.")]) -> None:
    """Draw the figures and the HTML page of a run again."""
    from flows.cli.ask import redraw

    redraw(run)


def main() -> None:
    """Run the command; a user's mistake prints one message, ours a full traceback."""
    from flows.server.outage import WORK, leave

    try:
        keep_private()
        app()
    except UserError as problem:
        print(f"relift: {lines(str(problem))}", file=sys.stderr)
        leave(2)
    except ReliftError as problem:
        print(f"relift: {lines(str(problem))}", file=sys.stderr)
        leave(3)
    except KeyboardInterrupt:  # before the flow runs; from then on the signal sets a flag and ends as Interrupted
        print("relift: stopped before the run began; nothing was lost", file=sys.stderr)
        leave(3)
    except SystemExit as end:  # typer's, in the end of every command
        leave(end.code if isinstance(end.code, int) else 1 if end.code else 0)
    except Exception as fault:
        if WORK.left is None:
            raise
        sys.excepthook(type(fault), fault, fault.__traceback__)
        leave(1)
