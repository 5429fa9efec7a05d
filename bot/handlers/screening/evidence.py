"""Fetch issues and pull requests for one screening into a file beside the clone, before mining starts.

The installation's permissions limit what is fetched. When GitHub's rate limit is used up, RateLimited reschedules the
job, which continues with what was fetched. No title, text or person is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog

from bot.github.client import InstallationClient
from bot.github.errors import Forbidden, NotFound, Rejected, Unavailable
from bot.github.evidence.fact_file import FactFile
from bot.github.evidence.fetch import FetchResult, fetch_facts
from bot.github.evidence.queries import RepositoryRef
from bot.jobs.context import JobContext
from bot.messages.screen_notes import EVIDENCE_UNAVAILABLE, evidence_known, evidence_missing
from bot.records import Installation, Repository
from bot.sandbox.screening_task import EvidenceFile
from pipeline.label_recipe import MESSAGES, LabelRecipe, by_messages

log = structlog.get_logger(__name__)

FACTS: Final = "evidence.assay"
WANTED: Final = ("issues", "pull_requests")
_NOT_GRANTED: Final = "none"


@dataclass(frozen=True)
class Evidence:
    """Evidence beside commit messages that a screening may use; without a `path`, none."""

    path: Path | None
    note: str  # shown beside the verdict
    recipe: LabelRecipe  # which decides
    is_whole: bool = True  # False: either issues or pull requests are unreadable, so they give no density


def lacking(installation: Installation) -> list[str]:
    """Return the permissions for evidence that were not granted."""
    return [name for name in WANTED if installation.permissions.get(name, _NOT_GRANTED) not in ("read", "write")]


async def read_evidence(
    context: JobContext,
    installation: Installation,
    client: InstallationClient,
    repository: Repository,
    head_sha: str,
    folder: Path,
    *,
    deciding: LabelRecipe,
) -> Evidence:
    """Fetch what changed since the last time; the first time, all of the windows.

    `client` can read the contents of the repository. `deciding`: the label recipe that decides here. One that reads
    issues does so only if the evidence is complete. Raises RateLimited.
    """
    api_decides, without = deciding.reads_tracker, by_messages(deciding)
    if len(lacking(installation)) == len(WANTED):
        return Evidence(None, evidence_missing(lacking(installation), api_decides), without)
    try:
        fetched = await _fetch(context, installation, client, repository, head_sha, folder)
    except (Forbidden, Unavailable) as error:
        log.info("no_evidence", problem=type(error).__name__)
        if api_decides and isinstance(error, Unavailable):
            raise  # retry, rather than change the verdict because GitHub is slow
        return Evidence(None, EVIDENCE_UNAVAILABLE, without)
    lacks = [name for name in WANTED if name in {*fetched.lacks, *lacking(installation)}]
    known = evidence_known(len(fetched.facts.facts))
    if lacks:
        note = f"{known} {evidence_missing(lacks, api_decides)}"
        return Evidence(folder / FACTS, note, without, is_whole=False)
    return Evidence(folder / FACTS, known, deciding)


async def _fetch(
    context: JobContext,
    installation: Installation,
    client: InstallationClient,
    repository: Repository,
    head_sha: str,
    folder: Path,
) -> FetchResult:
    granted = [name for name in WANTED if name not in lacking(installation)]
    permissions = {"contents": "read", "metadata": "read", **dict.fromkeys(granted, "read")}
    token = await context.parts.github.mint(context.installation_id, repository.repository_id, permissions)
    owner, _, name = repository.full_name.partition("/")
    fetched = await fetch_facts(
        context.parts.github.evidence_client(context.installation_id, token),
        RepositoryRef(owner, name, repository.repository_id),
        FactFile(folder / FACTS),
        since=earliest(await _head_at(context, client, repository, head_sha), context.now()),
        now=context.now,
    )
    log.info("evidence_read", requests=fetched.requests, points=fetched.points, facts=len(fetched.facts.facts))
    return fetched


async def _head_at(context: JobContext, client: InstallationClient, repository: Repository, head_sha: str) -> datetime:
    """Return when the commit was made; now if GitHub no longer has it, which the clone will report."""
    try:
        return await client.committed_at(repository.full_name, head_sha)
    except (NotFound, Rejected):
        return context.now()


def evidence_file(
    context: JobContext, evidence: Evidence, repository: Repository, seen_at: datetime
) -> EvidenceFile | None:
    """Return the evidence file for the child: the facts as of the time when the head was first seen."""
    if evidence.path is None:
        return None
    host = urlsplit(context.parts.policy.web_url).netloc
    return EvidenceFile(evidence.path, int(seen_at.timestamp()), repository.full_name, host)


def earliest(head_at: datetime, now: datetime) -> datetime:
    """Return the earliest start of a window. Windows end with the head, which may be old or dated in the future."""
    return min(head_at, now) - timedelta(seconds=MESSAGES.default_window_s)
