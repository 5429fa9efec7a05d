"""`--github-token`: fetch issues and pull requests as evidence for `assay screen`.

Facts are cached in the data directory, so fetching is incremental, also after an interruption by GitHub's rate limit.
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
        help="Also use issues, pull requests and labels from GitHub, with the token in this file (-: standard input). "
        "Default: ASSAY_GITHUB_TOKEN.",
    ),
]
GitHubRepo = Annotated[
    str | None,
    typer.Option("--github-repo", metavar="OWNER/NAME", help="The repository's name on GitHub, for a local PATH."),
]

WITHOUT_TOKEN: Final = "From commit messages only: --github-token adds issues, pull requests and labels."
_NAME = re.compile(r"[\w.-]{1,100}/[\w.-]{1,100}", re.ASCII)


def token_of(option: str | None, environment: str) -> str | None:
    """Read the token. Raises AssayError if the option is the token itself, or if the file holds none."""
    if option is None and not environment.strip():
        return None
    from bot.github.evidence.graphql_client import read_token

    return read_token(option, environment, sys.stdin.read)


def name_of(source: str, repo: str | None, settings: Settings) -> str:
    """Return `owner/name` on GitHub. Raises AssayError if it is unknown."""
    if repo is not None:
        if not _NAME.fullmatch(repo):
            raise AssayError("--github-repo must be OWNER/NAME, such as acme/shop")
        return repo
    host = urlsplit(settings.github_url).netloc
    if looks_like_url(source):
        parts = urlsplit(parse_url(source).text)
        name = parts.path.strip("/").removesuffix(".git")
        if parts.netloc == host and _NAME.fullmatch(name):
            return name
    raise AssayError(f"the name of {source!r} on {host} is unknown: add --github-repo OWNER/NAME")


def fetch_evidence(
    name: str, token: str, settings: Settings, until: datetime, progress: Progress
) -> tuple[Tracked | None, str]:
    """Fetch issues and pull requests up to `until`; return the tracker and a note for the report.

    The tracker is None if the token may not read all of them, since partial evidence is misleading. Raises AssayError.
    """
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

    progress("fetching issues and pull requests from GitHub", 0, None)
    try:
        fetched = asyncio.run(fetch())
    except RateLimited as limit:
        raise AssayError(
            f"GitHub's rate limit is exhausted until {limit.until:%H:%M} UTC: run the command again then; it continues"
        ) from None
    except GitHubError as problem:
        raise AssayError(f"cannot fetch the issues of {name} from GitHub: {problem}") from None
    if fetched.lacks:
        names = " and ".join(lacking.replace("_", " ") for lacking in fetched.lacks)
        return None, f"From commit messages only: the token may not read {names}."
    tracker = tracker_of(fetched.facts, int(until.timestamp()))
    requests = numbers.counted(fetched.requests, "request")
    note = f"Uses {len(tracker.facts):,} issues and pull requests ({requests} to GitHub)."
    return Tracked(tracker, Home(name, host)), note
