"""`assay config`: check a repository's configuration file before committing it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from bot.cli.config_option import read_config
from bot.cli.errors import BAD_INPUT
from bot.cli.output import AsJson, print_result
from bot.repo_config.keys import KEYS
from bot.repo_config.repository_config import ConfigProblem, ParsedConfig
from pipeline.reports.escape import inert

_MAX_LINE_LENGTH = 600

app = typer.Typer(add_completion=False, help="Check a repository's configuration file, `.github/assay.yml`.")


@app.callback()
def config() -> None:
    """Check a repository's configuration file, `.github/assay.yml`."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to check, such as .github/assay.yml.")],
    as_json: AsJson = False,
) -> None:
    """Show the valid keys of a configuration file and its problems by line. Exits 2 if there is a problem."""
    parsed = read_config(file)
    print_result(describe(parsed, str(file)), as_json, render)
    if parsed.problems:
        raise typer.Exit(BAD_INPUT)


def describe(parsed: ParsedConfig, file: str) -> dict[str, Any]:
    """Return the result as JSON values; null for keys that are not in the file."""
    return {
        "file": file,
        "ok": not parsed.problems,
        "config_hash": parsed.config.overlay.config_hash,
        "applies": {key.name: getattr(parsed.config, key.field) for key in KEYS},
        "problems": [dataclasses.asdict(problem) for problem in parsed.problems],
    }


def render(result: dict[str, Any]) -> Text:
    """Render the result for a terminal."""
    applies = [(name, value) for name, value in result["applies"].items() if value is not None]
    problems = [ConfigProblem(**problem) for problem in result["problems"]]
    lines = [f"{inert(result['file'])}: {_summary(len(applies), len(problems))}"]
    lines += [f"  {name:<21} {inert(_shown(value), _MAX_LINE_LENGTH)}" for name, value in applies]
    if result["config_hash"]:
        lines.append(f"  changes labels (configuration hash {result['config_hash']})")
    lines += [f"  {problem}" for problem in problems]
    return Text("\n".join(lines))


def _summary(keys: int, problems: int) -> str:
    applied = f"{keys} {'key applies' if keys == 1 else 'keys apply'}"
    return (
        f"{applied}, {problems} {'problem' if problems == 1 else 'problems'}" if problems else f"{applied}, no problems"
    )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "(none)"
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
