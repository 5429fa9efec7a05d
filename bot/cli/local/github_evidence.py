"""`--github-token`: issues and pull requests for a screening on a terminal.

What was read is kept in the data directory, so the next time only what changed since is asked for; also where GitHub's
limit broke it off.
"""

from __future__ import annotations

import asyncio
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from bot.cli.app_settings import github_server
from bot.cli.output import Progress
from bot.settings import Settings
from pipeline.classify.references import Home
from pipeline.git.clone import looks_like_url, parse_url
from pipeline.label_recipe import MESSAGES
from pipeline.mining.issue_links import Tracked
from pipeline.records import AssayError
from pipeline.reports import numbers

GitHubToken = Annotated[
    str | None,
    typer.Option(
        "--github-token",
        metavar="FILE|-",
        help="Also ask GitHub for issues, pull requests and labels, with the token in this file (- is standard input; "
        "without the option ASSAY_GITHUB_TOKEN is used).",
    ),
]
GitHubRepo = Annotated[
    str | None,
    typer.Option("--github-repo", metavar="OWNER/NAME", help="What PATH is called on GitHub; a URL says it itself."),
]

WITHOUT_TOKEN: Final = "By messages alone: without --github-token nothing is known of issues, pull requests and labels."
_NAME = re.compile(r"[\w.-]{1,100}/[\w.-]{1,100}", re.ASCII)


def token_of(option: str | None, environment: str) -> str | None:
    """Raises AssayError for an option that is the token itself, and for a file that holds none."""
    if option is None and not environment.strip():
        return None
    from bot.github.evidence.graphql_client import read_token

    return read_token(option, environment, sys.stdin.read)


def name_of(source: str, repo: str | None, settings: Settings) -> str:
    """`owner/name` on GitHub. Raises AssayError where it cannot be told."""
    if repo is not None:
        if not _NAME.fullmatch(repo):
            raise AssayError("--github-repo takes OWNER/NAME, such as acme/shop")
        return repo
    host = urlsplit(settings.github_url).netloc
    if looks_like_url(source):
        parts = urlsplit(parse_url(source).text)
        name = parts.path.strip("/").removesuffix(".git")
        if parts.netloc == host and _NAME.fullmatch(name):
            return name
    raise AssayError(f"what {source!r} is called on {host} cannot be told: add --github-repo OWNER/NAME")


def fetch_evidence(
    name: str, token: str, settings: Settings, until: datetime, progress: Progress
) -> tuple[Tracked | None, str]:
    """Issues and pull requests of the windows that end at `until` at the latest, as they are known now, and what is to
    be said of them. None where the token may not read them all: half of them is no evidence. Raises AssayError."""
    from bot.github.errors import GitHubError, RateLimited
    from bot.github.evidence.evidence_facts import tracker_of
    from bot.github.evidence.fact_file import FactFile, evidence_path
    from bot.github.evidence.fetch import FetchResult, fetch_facts
    from bot.github.evidence.graphql_client import evidence_for_token
    from bot.github.evidence.queries import RepositoryRef

    host = urlsplit(settings.github_url).netloc
    owner, _, short = name.partition("/")
    store = FactFile(evidence_path(settings.data_dir, host, name))

    async def fetch() -> FetchResult:
        async with evidence_for_token(github_server(settings), token) as ask:
            since = until - timedelta(seconds=MESSAGES.default_window_s)
            return await fetch_facts(
                ask, RepositoryRef(owner, short), store, since=since, now=lambda: datetime.now(UTC), share=1
            )

    progress("asking GitHub for issues and pull requests", 0, None)
    try:
        fetched = asyncio.run(fetch())
    except RateLimited as limit:
        raise AssayError(
            f"GitHub's rate limit is used up until {limit.until:%H:%M} UTC: what was read is kept; run it again then"
        ) from None
    except GitHubError as problem:
        raise AssayError(f"GitHub does not give the issues of {name}: {problem}") from None
    if fetched.lacks:
        names = " and ".join(lacking.replace("_", " ") for lacking in fetched.lacks)
        return None, f"By messages alone: the token may not read {names}."
    tracker = tracker_of(fetched.facts, int(until.timestamp()))
    requests = numbers.counted(fetched.requests, "request")
    known = f"{len(tracker.facts):,} issues and pull requests are known, by {requests} now."
    return Tracked(tracker, Home(name, host)), known
