"""What `assay doctor` says of the App: is it registered, does GitHub know it, is what it runs on there?

Where no App is registered nothing of this is required, for screening on this machine needs none of it, and GitHub is
not asked.
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
from bot.cli.check import Check
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

TIMEOUT_S = 5.0  # of each question asked over a network
SETUP = "assay up (or assay setup) registers one; screening on this machine needs none"
T = TypeVar("T")


def check_app(settings: Settings) -> Iterator[Check]:
    """Every check of the App, in the order in which a person would look. Raises nothing: a failed one is an answer."""
    try:
        credentials = effective_credentials(settings)
    except AssayError as error:
        yield Check("App", False, "its credentials cannot be used", str(error))
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
    if credentials is None:
        return Check("App", False, "none is registered", SETUP, required=False)
    name = f"App {credentials.app_id}" + (f" ({credentials.slug})" if credentials.slug else "")
    try:
        parse_private_key(credentials.private_key, "its private key")
    except AssayError as error:
        return Check("App", False, f"{name}, from {source}", str(error))
    return Check("App", True, f"{name}, from {source}")


def check_database(url: str, *, required: bool) -> Check:
    """Is it reached, and at the tables of this release? One that is not there yet is made when Assay starts."""
    from bot.store.migrate import current, newest  # slow to import, as is all that follows
    from bot.store.urls import parse, path_of

    to_do = "check ASSAY_DATABASE_URL, and that the server runs and lets this machine in"
    try:
        parsed = parse(url)
        file = path_of(parsed)
        if file is not None and not Path(file).exists():
            return Check("database", True, f"{file}, not made yet", required=required)
        at = current(url)  # has limits of its own
    except AssayError as error:
        return Check("database", False, str(error), to_do, required)
    kind = str(file) if file is not None else "PostgreSQL"
    if at == newest():
        return Check("database", True, f"{kind}, at revision {at}", required=required)
    found = f"{kind}, at revision {at or 'none'} and not {newest()}"
    return Check("database", False, found, "assay up migrates it, or by hand: assay migrate", required)


def check_redis(url: str, *, required: bool) -> Check:
    """Does the operator's answer, or is there a server to be started?"""
    from bot.jobs.embedded_redis import find_server

    if not url:
        server = find_server()
        if server is not None:
            return Check("Redis", True, f"{server}, started when it is needed", required=required)
        to_do = "set ASSAY_REDIS_URL to one that runs, install Redis, or on x86-64 Linux: pip install assay[embedded]"
        return Check("Redis", False, "no redis-server is found", to_do, required)
    try:
        answers = _within_time(_ping(url))
    except (TimeoutError, ValueError):  # ValueError: no address
        answers = False
    if answers:
        return Check("Redis", True, "the one of ASSAY_REDIS_URL answers", required=required)
    to_do = "check ASSAY_REDIS_URL (redis://, rediss:// or unix://), and that the server runs and lets this machine in"
    return Check("Redis", False, "the one of ASSAY_REDIS_URL does not answer", to_do, required)


def check_github(credentials: AppCredentials, settings: Settings) -> Iterator[Check]:
    """Does GitHub know the App, and is it there as this release needs it?"""
    try:
        known = _within_time(fetch_app_status(credentials, github_server(settings), SystemClock(), TIMEOUT_S))
    except GitHubError as problem:
        yield Check("GitHub", False, str(problem), what_to_do(problem, settings))
        return
    except (AssayError, TimeoutError) as problem:
        yield Check("GitHub", False, str(problem) or "no answer", what_to_do(None, settings))
        return
    yield Check("GitHub", True, f"{settings.api_url} knows it as {known.app.name or known.app.slug}")
    yield check_permissions(known)
    yield check_webhook(known, settings.public_url or "")
    yield check_public_url(settings.public_url or "", settings.github_url)


def check_permissions(known: AppStatus) -> Check:
    """Are permissions and events those of a subset? More than the App needs is said as well as less."""
    subset = closest_subset(known)
    wanted = {each.name: each.access for each in permissions_of(subset)}
    missing = [f"{name}: {access}" for name, access in wanted.items() if known.app.permissions.get(name) != access]
    surplus = [name for name in known.app.permissions if name not in wanted]
    events = [f"event {event}" for event in events_of(subset) if event not in known.app.events]
    if missing or events:
        lacking = ", ".join((*missing, *events))
        to_do = f"on the App's page set {lacking} (subset {subset}), then accept them where it is installed"
        return Check("permissions", False, f"less than subset {subset}: {lacking}", to_do)
    if surplus:
        to_do = "take them away on the App's page: nothing here needs them"
        return Check("permissions", False, f"more than subset {subset}: {', '.join(surplus)}", to_do, required=False)
    return Check("permissions", True, f"those of subset {subset}")


def closest_subset(known: AppStatus) -> Subset:
    """The largest subset that the App's permissions hold; the smallest where they hold none."""
    held = known.app.permissions.items()
    for subset in reversed(SUBSETS):
        if {(each.name, each.access) for each in permissions_of(subset)} <= held:
            return subset
    return SUBSETS[0]


def check_webhook(known: AppStatus, public_url: str) -> Check:
    """Do deliveries go where this server is said to be?"""
    if not known.webhook_url:
        to_do = "on the App's page switch the webhook on, with this server's address and /webhook at its end"
        return Check("webhook", False, "the App has none", to_do)
    if public_url and known.webhook_url != public_url + WEBHOOK_PATH:
        to_do = f"on the App's page set it to {public_url}{WEBHOOK_PATH}, or change ASSAY_PUBLIC_URL"
        return Check("webhook", False, f"deliveries go to {known.webhook_url}", to_do)
    return Check("webhook", True, known.webhook_url)


def check_public_url(public_url: str, github_url: str) -> Check:
    """Can GitHub reach this server, as far as its address tells?"""
    if not public_url:
        to_do = "set it to the address at which GitHub and people reach this server"
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


def _within_time(asked: Coroutine[object, object, T]) -> T:
    """Raises TimeoutError."""

    async def limited() -> T:
        async with asyncio.timeout(TIMEOUT_S + 1):
            return await asked

    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, limited()).result()
