"""Where `--html` and `--sarif` write: a file, all or nothing, or stdout where the name is `-`."""

from __future__ import annotations

from pathlib import Path

from bot.cli.files import require_writable, write_whole
from pipeline.records import AssayError

STDOUT = Path("-")


def check_report(option: str, path: Path | None, as_json: bool) -> None:
    """Look before the long work. Raises AssayError where the report could not be written, or not beside `--json`."""
    if path == STDOUT and as_json:
        raise AssayError(f"{option} - and --json would both write to stdout: name a file for {option}")
    if path is not None and path != STDOUT:
        try:
            require_writable(path.absolute())
        except AssayError as error:
            raise AssayError(f"{option} {path}: {error}") from None


def write_report(path: Path | None, text: str) -> bool:
    """Write `text`, if anywhere. Tells whether stdout is taken by it, so that nothing else may be printed there."""
    if path == STDOUT:
        print(text.removesuffix("\n"))
        return True
    if path is not None:
        write_whole(path.absolute(), text)
    return False
