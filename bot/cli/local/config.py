"""`assay config`: look at a repository's own configuration before it is committed."""

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

_LONGEST_LINE = 600

app = typer.Typer(add_completion=False, help="Check a repository's own configuration, `.github/assay.yml`.")


@app.callback()
def config() -> None:
    """Check a repository's own configuration, `.github/assay.yml`."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file, .github/assay.yml for one.")],
    as_json: AsJson = False,
) -> None:
    """Say what of a configuration file applies, and what does not, by line. Exits 2 if anything does not."""
    parsed = read_config(file)
    print_result(describe(parsed, str(file)), as_json, render)
    if parsed.problems:
        raise typer.Exit(BAD_INPUT)


def describe(parsed: ParsedConfig, file: str) -> dict[str, Any]:
    """The answer as JSON has it. A key that the file does not say is null."""
    return {
        "file": file,
        "ok": not parsed.problems,
        "config_hash": parsed.config.overlay.config_hash,
        "applies": {key.name: getattr(parsed.config, key.field) for key in KEYS},
        "problems": [dataclasses.asdict(problem) for problem in parsed.problems],
    }


def render(result: dict[str, Any]) -> Text:
    """The same for a person."""
    applies = [(name, value) for name, value in result["applies"].items() if value is not None]
    problems = [ConfigProblem(**problem) for problem in result["problems"]]
    said = [f"{inert(result['file'])}: {_verdict(len(applies), len(problems))}"]
    said += [f"  {name:<21} {inert(_shown(value), _LONGEST_LINE)}" for name, value in applies]
    if result["config_hash"]:
        said.append(f"  changes labels: its hash is {result['config_hash']}")
    said += [f"  {problem}" for problem in problems]
    return Text("\n".join(said))


def _verdict(applies: int, problems: int) -> str:
    keys = f"{applies} {'key applies' if applies == 1 else 'keys apply'}"
    return f"{keys}, {problems} {'problem' if problems == 1 else 'problems'}" if problems else f"{keys}, no problem"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "(none)"
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)
