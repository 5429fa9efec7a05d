"""`--config FILE`: a repository's own configuration for a command that mines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bot.cli.files import read_whole
from bot.repo_config.parse import parse_config
from bot.repo_config.repository_config import ParsedConfig
from pipeline.classify.overlay import NO_OVERLAY, Overlay

MOST_BYTES = 1 << 20  # the parser says what it thinks of more than 64 KB

OwnConfig = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Measure with this configuration, as .github/assay.yml has it."),
]


def read_config(path: Path) -> ParsedConfig:
    """Parse a configuration file. Raises AssayError for one that cannot be read at all."""
    return parse_config(read_whole(path, MOST_BYTES))


def read_overlay(path: Path | None) -> Overlay:
    """What of a configuration file changes labels. Each problem in it is a warning on stderr; the rest applies."""
    if path is None:
        return NO_OVERLAY
    parsed = read_config(path)
    for problem in parsed.problems:
        print(f"warning: {path}, {problem}", file=sys.stderr)
    return parsed.config.overlay
