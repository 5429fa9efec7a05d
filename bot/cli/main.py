"""`assay`: one row per command. A command's module is imported only when it runs, so `--help` is instant."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bot import __version__
from bot.cli import errors

# name, location (a function, or a Typer app with subcommands), help
COMMANDS = (
    (
        "screen",
        "bot.cli.local.screen:screen",
        "Predict whether fine-tuning on a repository's bug-fix history is worth trying: RUN or SKIP.",
    ),
    ("pairs", "bot.cli.local.pairs:pairs", "Write a repository's training pairs and holdout functions."),
    (
        "evaluate",
        "bot.cli.local.evaluate:evaluate_source",
        "Rank the functions of a year ago and compare the ranking with what has been fixed since.",
    ),
    (
        "rank",
        "bot.cli.local.rank:rank",
        "List the functions or files most likely to need a fix, riskiest first, with reasons.",
    ),
    (
        "finetune",
        "bot.cli.local.finetune:finetune",
        "Train a LoRA adapter on a repository's bug fixes and tell whether it ranks better than the baseline.",
    ),
    (
        "repos",
        "bot.cli.server.repos:repos",
        "List all repositories of the App: verdict, density, date, GPU minutes, reason or last error.",
    ),
    ("config", "bot.cli.local.config:app", "Check a repository's configuration file, `.github/assay.yml`."),
    ("calibration", "bot.cli.calibration.commands:app", "Show and change the outcomes behind the threshold."),
    (
        "up",
        "bot.cli.server.up:up",
        "Run the whole App on this machine: web server, worker, and its own database and Redis.",
    ),
    ("web", "bot.cli.server.up:web", "Receive webhook deliveries and serve pages. Needs `assay worker`."),
    ("worker", "bot.cli.server.up:worker", "Process deliveries: screen repositories and post check runs."),
    (
        "gpu-worker",
        "bot.cli.server.gpu_worker:gpu_worker",
        "Train and judge the runs requested by `/finetune`, one at a time.",
    ),
    ("budget", "bot.cli.server.budget:app", "Show and set the monthly GPU budgets of installations."),
    ("gpu", "bot.cli.server.gpu:app", "Show the GPU workers and their queue; pause and resume them."),
    ("setup", "bot.cli.server.setup:setup", "Register the App on GitHub, or show the registered one."),
    ("migrate", "bot.cli.server.migrate:migrate", "Migrate the database schema to this release."),
    ("doctor", "bot.cli.server.doctor:doctor", "Check the installation and say how to fix what is missing."),
    ("labels", "bot.cli.local.labels:app", "Estimate the quality of the fix labels from hand-labelled commits."),
)


class LazyCommands(TyperGroup):
    """A group that imports a command when it is invoked."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        for name, place, _ in COMMANDS:
            if args and args[0] == name:
                self.commands[name] = _load(name, place)
        return super().resolve_command(ctx, args)


def _load(name: str, place: str) -> Any:
    module_name, _, attribute = place.partition(":")
    loaded = getattr(import_module(module_name), attribute)
    if not isinstance(loaded, typer.Typer):
        loaded, function = typer.Typer(add_completion=False), loaded
        loaded.command(name)(function)
    command = typer.main.get_command(loaded)
    command.name = name
    return command


def _show_version(requested: bool) -> None:
    if requested:
        print(f"assay {__version__}")
        raise typer.Exit


app = typer.Typer(cls=LazyCommands, add_completion=False)


@app.callback()
def assay(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Predict whether fine-tuning on a repository's bug fixes is worth the GPU time, before spending it."""


def _row(name: str, help_text: str) -> None:
    @app.command(name, help=help_text)
    def listed_only() -> None:
        raise AssertionError(f"{name} was not loaded")


for _name, _, _help in COMMANDS:
    _row(_name, _help)


def run(args: list[str]) -> int:
    """Run one command line and return the exit code: 0 success, 2 bad usage or input, 1 failure, 130 interrupted."""
    command = typer.main.get_command(app)

    def invoke() -> object:  # instead of command.main(), which has its own error handlers
        with command.make_context("assay", list(args) or ["--help"]) as context:
            return command.invoke(context)

    return errors.handled(invoke, args)


def main() -> None:
    """The `assay` console script."""
    gc.set_threshold(20_000, 20, 50)  # mining allocates many small objects and no cycles: saves 6 % on large histories
    sys.exit(run(sys.argv[1:]))
