"""`--config FILE`: apply a repository's configuration in a command that mines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.files import read_whole
from bot.repo_config.parse import parse_config
from bot.repo_config.repository_config import ParsedConfig
from pipeline.classify.overlay import NO_OVERLAY, Overlay

MAX_BYTES = 1 << 20  # the parser reports files over 64 KB

OwnConfig = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Apply this configuration file (format of .github/assay.yml)."),
]


def read_config(path: Path) -> ParsedConfig:
    """Parse a configuration file. Raises AssayError if it cannot be read."""
    return parse_config(read_whole(path, MAX_BYTES))


def read_overlay(path: Path | None) -> Overlay:
    """Return the part of a configuration file that changes labels. Prints a warning for each problem in the file."""
    if path is None:
        return NO_OVERLAY
    parsed = read_config(path)
    for problem in parsed.problems:
        print(f"warning: {path}, {problem}", file=sys.stderr)
    return parsed.config.overlay
