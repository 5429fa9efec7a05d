"""Open the repository that a command's PATH or URL names, and parse the options that all mining commands share."""

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
    """Open the repository at a path, or clone or fetch a URL into the data directory and open that.

    Raises AssayError if the path is not a repository or the URL cannot be cloned.
    """
    if not source.strip():  # an unset shell variable, not the current folder
        raise AssayError("missing repository: give a path (. for the current folder) or an https:// URL")
    if not looks_like_url(source):
        return open_repository(Path(os.path.expanduser(source)))  # leaves ~unknown-user unchanged
    url = parse_url(source)
    name = hashlib.sha256(url.text.encode()).hexdigest()[:16]
    into = settings.data_dir / "clones" / f"{name}.git"
    folder = clone_or_fetch(url, into, progress=_stages(progress), ca_bundle=settings.ca_bundle)
    return open_repository(folder)


def _stages(progress: Progress) -> Callable[[str], None]:
    """Adapt progress lines such as "receiving 12 MB" and "indexing 40 %" to stages with numbers."""

    def report(line: str) -> None:
        stage, _, rest = line.partition(" ")
        number = rest.partition(" ")[0].replace(",", "")
        if number.isdigit():
            progress(stage, int(number), 100 if line.endswith("%") else None)
        else:
            progress(line, 0, None)

    return report


def parse_as_of(text: str | None) -> int | None:
    """Parse an ISO 8601 date (meaning its last second) or time (UTC without a zone) to seconds since 1970.

    Raises AssayError for anything else.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise AssayError(f"--as-of {text!r} is not a date: write 2026-01-31 or 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if len(text) <= 10:
        moment = moment.replace(hour=23, minute=59, second=59)
    return int(moment.timestamp())


def default_jobs() -> int:
    """Return the number of usable cores, at most eight: beyond that, disk and the sequential walk limit the speed."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(8, cores)
