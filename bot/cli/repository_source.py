"""What a command's PATH or URL names: a repository on this machine, cloned first where it is a URL."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bot.settings import Settings
from pipeline.git.clone import clone_or_fetch, looks_like_url, parse_url
from pipeline.git.repository import Repository, open_repository
from pipeline.mining.miner import Progress
from pipeline.records import AssayError


def open_source(source: str, settings: Settings, progress: Progress) -> Repository:
    """The repository at a path, or the clone of a URL in the data directory, brought up to date.

    Raises AssayError for anything that is no repository, and for a URL that cannot be cloned.
    """
    if not source.strip():  # an unset variable, and not the folder we are in
        raise AssayError("no repository is named: give its path (. is this folder), or a URL that begins with https://")
    if not looks_like_url(source):
        return open_repository(Path(os.path.expanduser(source)))  # which leaves the home of nobody as it is written
    url = parse_url(source)
    name = hashlib.sha256(url.text.encode()).hexdigest()[:16]
    into = settings.data_dir / "clones" / f"{name}.git"
    folder = clone_or_fetch(url, into, progress=_teller(progress), ca_bundle=settings.ca_bundle)
    return open_repository(folder)


def _teller(progress: Progress) -> Callable[[str], None]:
    """Turns "receiving 12 MB" and "indexing 40 %" into one stage each that moves, and anything else into a stage."""

    def tell(line: str) -> None:
        stage, _, rest = line.partition(" ")
        number = rest.partition(" ")[0].replace(",", "")
        if number.isdigit():
            progress(stage, int(number), 100 if line.endswith("%") else None)
        else:
            progress(line, 0, None)

    return tell


def parse_as_of(text: str | None) -> int | None:
    """Seconds since 1970 of an ISO 8601 date or time; a time without a zone is UTC, a date means its last second.

    Raises AssayError for anything else.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise AssayError(f"--as-of {text!r} is no date: write 2026-01-31 or 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if len(text) <= 10:
        moment = moment.replace(hour=23, minute=59, second=59)
    return int(moment.timestamp())


def default_jobs() -> int:
    """As many processes as this process may use cores, eight at most: beyond that the disk and one walk decide."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)
