"""Issues and pull requests for one screening: fetched into a file beside the clone, before anything is mined.

The installation's permissions say what may be asked for. Where GitHub's limit is used up, RateLimited puts the job off,
and what was read is there when it goes on. Nothing of a title, a text or a person is kept.
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
from bot.sandbox.screening_task import EvidenceFile, RecipeName
from pipeline.label_recipe import MESSAGES

log = structlog.get_logger(__name__)

FACTS: Final = "evidence.assay"
WANTED: Final = ("issues", "pull_requests")
_GIVES_NOTHING: Final = "none"


@dataclass(frozen=True)
class Evidence:
    """What a screening may use beside messages. `path` is none where GitHub gives nothing."""

    path: Path | None
    note: str  # what is said of it beside the verdict
    label_recipe: RecipeName = "messages"  # the one that decides
    is_whole: bool = True  # False: of issues and pull requests one may not be read, so no density follows from them


def lacking(installation: Installation) -> list[str]:
    """The permissions that would give evidence and were not granted."""
    return [name for name in WANTED if installation.permissions.get(name, _GIVES_NOTHING) not in ("read", "write")]


async def read_evidence(
    context: JobContext,
    installation: Installation,
    client: InstallationClient,
    repository: Repository,
    head_sha: str,
    folder: Path,
    *,
    api_decides: bool,
) -> Evidence:
    """Everything that changed since it was asked for last; all of the windows the first time.

    `client` may read the contents of the repository. `api_decides`: whether the label recipe with issues decides here,
    which it does only where nothing of them is missing. Raises RateLimited.
    """
    if len(lacking(installation)) == len(WANTED):
        return Evidence(None, evidence_missing(lacking(installation), api_decides))
    try:
        fetched = await _fetch(context, installation, client, repository, head_sha, folder)
    except (Forbidden, Unavailable) as problem:
        log.info("no_evidence", problem=type(problem).__name__)
        if api_decides and isinstance(problem, Unavailable):
            raise  # another try, and not another verdict because GitHub was slow today
        return Evidence(None, EVIDENCE_UNAVAILABLE)
    lacks = [name for name in WANTED if name in {*fetched.lacks, *lacking(installation)}]
    known = evidence_known(len(fetched.facts.facts))
    if lacks:
        return Evidence(folder / FACTS, f"{known} {evidence_missing(lacks, api_decides)}", is_whole=False)
    return Evidence(folder / FACTS, known, "messages+api" if api_decides else "messages")


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
    """Of a commit that GitHub does not have any more, now: whoever clones says what became of it."""
    try:
        return await client.committed_at(repository.full_name, head_sha)
    except (NotFound, Rejected):
        return context.now()


def evidence_file(
    context: JobContext, evidence: Evidence, repository: Repository, seen_at: datetime
) -> EvidenceFile | None:
    """What the child reads: as it was known when the head was first seen."""
    if evidence.path is None:
        return None
    host = urlsplit(context.parts.policy.web_url).netloc
    return EvidenceFile(evidence.path, int(seen_at.timestamp()), repository.full_name, host)


def earliest(head_at: datetime, now: datetime) -> datetime:
    """No window begins earlier: they end with the head, which may be old or dated in the future."""
    return min(head_at, now) - timedelta(seconds=MESSAGES.default_window_s)
