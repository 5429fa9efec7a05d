"""`assay`: one row a command. A command's module is imported only when that command runs, so `--help` is instant."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bot import __version__
from bot.cli import errors

# name, where it lives (a function, or a Typer app with commands of its own), what it does
COMMANDS = (
    (
        "screen",
        "bot.cli.local.screen:screen",
        "Tell whether fine-tuning on this repository's bug-fix history is worth trying: RUN or SKIP.",
    ),
    ("pairs", "bot.cli.local.pairs:pairs", "Write the training pairs and the holdout functions of a repository."),
    (
        "evaluate",
        "bot.cli.local.evaluate:evaluate_source",
        "Rank the functions of a year ago as they were then, and compare with what has been fixed since.",
    ),
    (
        "rank",
        "bot.cli.local.rank:rank",
        "List the functions or files that are likeliest to need a fix, riskiest first, with reasons.",
    ),
    (
        "finetune",
        "bot.cli.local.finetune:finetune",
        "Train a LoRA adapter on a repository's bug fixes and tell whether it ranks better than the baseline.",
    ),
    (
        "repos",
        "bot.cli.server.repos:repos",
        "List every repository: verdict, density, reason, when it was measured, GPU minutes, what went wrong last.",
    ),
    ("config", "bot.cli.local.config:app", "Check a repository's own configuration, `.github/assay.yml`."),
    ("calibration", "bot.cli.calibration.commands:app", "Show and change the outcomes that the threshold rests on."),
    (
        "up",
        "bot.cli.server.up:up",
        "Run the whole App on this machine: receiver, pages, worker, a database and a Redis of its own.",
    ),
    ("web", "bot.cli.server.up:web", "Receive deliveries and serve pages; `assay worker` does the work."),
    ("worker", "bot.cli.server.up:worker", "Do the work that deliveries ask for."),
    (
        "gpu-worker",
        "bot.cli.server.gpu_worker:gpu_worker",
        "Train and judge the runs that `/finetune` asks for, one at a time.",
    ),
    ("budget", "bot.cli.server.budget:app", "Show and set how many GPU minutes an installation may spend a month."),
    ("gpu", "bot.cli.server.gpu:app", "Show the GPU workers and their queue; pause and resume them."),
    ("setup", "bot.cli.server.setup:setup", "Register the App on GitHub, or look at the one there is."),
    ("migrate", "bot.cli.server.migrate:migrate", "Bring the database to the tables of this release."),
    ("doctor", "bot.cli.server.doctor:doctor", "Check the installation and say what is missing."),
    ("labels", "bot.cli.local.labels:app", "Tell how good the fix labels are, by commits that were labelled by hand."),
)


class LazyCommands(TyperGroup):
    """Knows each command by its row until it is asked for."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        for name, place, _ in COMMANDS:
            if args and args[0] == name:
                self.commands[name] = _load(name, place)
        return super().resolve_command(ctx, args)


def _load(name: str, place: str) -> Any:
    module_name, _, attribute = place.partition(":")
    found = getattr(import_module(module_name), attribute)
    if not isinstance(found, typer.Typer):
        found, function = typer.Typer(add_completion=False), found
        found.command(name)(function)
    command = typer.main.get_command(found)
    command.name = name
    return command


def _show_version(asked: bool) -> None:
    if asked:
        print(f"assay {__version__}")
        raise typer.Exit


app = typer.Typer(cls=LazyCommands, add_completion=False)


@app.callback()
def assay(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Find out, before the GPU time is spent, whether fine-tuning on a repository's bug fixes is worth it."""


def _row(name: str, what_it_does: str) -> None:
    @app.command(name, help=what_it_does)
    def listed_only() -> None:
        raise AssertionError(f"{name} was not loaded")


for _name, _, _help in COMMANDS:
    _row(_name, _help)


def run(args: list[str]) -> int:
    """Run one command line and return the exit code: 0 success, 2 bad usage or input, 1 failure, 130 interrupted."""
    command = typer.main.get_command(app)

    def invoke() -> object:  # and not command.main(), which has handlers of its own
        with command.make_context("assay", list(args) or ["--help"]) as context:
            return command.invoke(context)

    return errors.handled(invoke, args)


def main() -> None:
    """The `assay` console script."""
    gc.set_threshold(20_000, 20, 50)  # mining makes many small values and no cycles: 6 % of the time of a large history
    sys.exit(run(sys.argv[1:]))
