"""Which issues and pull requests a screening may use, and what its note says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.github.errors import RateLimited, Unavailable
from bot.handlers.screening.evidence import FACTS, Evidence, earliest, evidence_file, lacking, read_evidence
from bot.jobs.context import READ, JobContext
from bot.messages.screen_notes import EVIDENCE_UNAVAILABLE
from bot.records import Installation
from bot.store.installations import load_installation
from bot.store.jobs import request_job
from pipeline.label_recipe import MESSAGES, MESSAGES_API, RECIPES, LabelRecipe
from tests.builders.command_harness import Harness, open_harness
from tests.simulator.faults import FOREVER, status

GRAPHQL = "POST /api/graphql"
ACME = Installation(10, 1, "acme", "Organization", "active", {})


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """A repository with a bug, a question and a pull request."""
    with open_harness(tmp_path) as opened:
        shop, now = opened.world.shop, opened.world.clock.now()
        shop.issue(1, labels=["bug"], opened_at=now - timedelta(days=3))
        shop.issue(2, labels=["question"], opened_at=now - timedelta(days=2))
        shop.pull_request(3, opened_at=now - timedelta(days=1))
        yield opened


def worked(harness: Harness) -> JobContext:
    """A job of the repository's: only whose it is matters here."""
    harness.write(lambda c: _ask_for(harness, c))
    return JobContext(harness.jobs("screen")[0], harness.parts)


async def _ask_for(harness: Harness, connection: Any) -> None:
    await request_job(connection, *harness.ids, "screen", harness.world.clock.now())


def evidence(
    harness: Harness, folder: Path, *, deciding: LabelRecipe = MESSAGES_API, head: str = "", lacks: tuple[str, ...] = ()
) -> Any:
    """What `read_evidence` says; `lacks` are permissions that the installation does not have."""
    for name in lacks:
        harness.world.installation.permissions.pop(name)
    context = worked(harness)

    async def ask() -> Evidence:
        async with harness.database.read() as connection:
            installation = await load_installation(connection, harness.ids[0])
        assert installation is not None
        kept = {name: level for name, level in installation.permissions.items() if name not in lacks}
        client = harness.app.installation_client(harness.ids[0], await harness.app.mint(*harness.ids, READ))
        return await read_evidence(
            context,
            dataclasses.replace(installation, permissions=kept),
            client,
            harness.repository,
            head or harness.world.head,
            folder,
            deciding=deciding,
        )

    return harness.runner.run(ask())


def test_missing_permissions_are_those_not_granted() -> None:
    cases: list[tuple[dict[str, str], list[str]]] = [
        ({}, ["issues", "pull_requests"]),
        ({"issues": "write"}, ["pull_requests"]),
        ({"issues": "read", "pull_requests": "none"}, ["pull_requests"]),
        ({"pull_requests": "read", "checks": "write"}, ["issues"]),
        ({"issues": "read", "pull_requests": "write"}, []),
    ]
    wrong = [
        (permissions, got, lacks)
        for permissions, lacks in cases
        if (got := lacking(dataclasses.replace(ACME, permissions=permissions))) != lacks
    ]
    assert wrong == []


def test_no_window_begins_earlier_than_the_one_that_ends_with_the_head() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)
    window = timedelta(days=1_095)
    for head_at, began in (
        (now, now - window),
        (now - timedelta(days=900), now - timedelta(days=900) - window),
        (now + timedelta(days=900), now - window),  # a head that is dated in the future
    ):
        assert earliest(head_at, now) == began


@pytest.mark.parametrize("deciding", RECIPES.values(), ids=lambda recipe: recipe.name)
def test_with_both_permissions_all_is_read_and_the_recipe_in_force_decides(
    harness: Harness, tmp_path: Path, deciding: LabelRecipe
) -> None:
    found = evidence(harness, tmp_path, deciding=deciding)
    note = "3 issues and pull requests of this period are known."
    assert found == Evidence(tmp_path / FACTS, note, deciding, is_whole=True)
    assert (tmp_path / FACTS).exists()


def test_the_token_for_it_may_read_this_repository_and_nothing_else(harness: Harness, tmp_path: Path) -> None:
    evidence(harness, tmp_path)
    mine = [token for token in harness.world.github.tokens.values() if token.repository_ids is not None]
    [token] = [token for token in mine if "pull_requests" in token.permissions]
    assert token.permissions == {"contents": "read", "metadata": "read", "issues": "read", "pull_requests": "read"}
    assert token.repository_ids == frozenset({harness.ids[1]})


@pytest.mark.parametrize("deciding", [MESSAGES_API, MESSAGES])
def test_without_either_permission_nothing_is_fetched(harness: Harness, tmp_path: Path, deciding: LabelRecipe) -> None:
    found = evidence(harness, tmp_path, deciding=deciding, lacks=("issues", "pull_requests"))
    assert (found.path, found.recipe) == (None, MESSAGES)
    assert found.note.startswith("The App may not read issues and pull requests, so ")
    assert ("this verdict is based on commit messages alone" in found.note) is deciding.reads_tracker
    assert not any(seen.path == "/api/graphql" for seen in harness.world.github.requests)


@pytest.mark.parametrize("lacks", ["issues", "pull_requests"])
def test_without_one_permission_messages_decide_and_the_note_names_it(
    harness: Harness, tmp_path: Path, lacks: str
) -> None:
    found = evidence(harness, tmp_path, lacks=(lacks,))
    assert (found.path, found.recipe, found.is_whole) == (tmp_path / FACTS, MESSAGES, False)
    known = "1 issue or pull request of this period is" if lacks == "issues" else "2 issues and pull requests of this"
    assert found.note.startswith(known)
    assert (
        f"The App may not read {lacks.replace('_', ' ')}, so this verdict is based on commit messages alone."
        in found.note
    )


def test_if_github_is_down_messages_continue_and_issues_wait(harness: Harness, tmp_path: Path) -> None:
    harness.world.github.fault(GRAPHQL, status(502), FOREVER)
    found = evidence(harness, tmp_path, deciding=MESSAGES)
    assert found == Evidence(None, EVIDENCE_UNAVAILABLE, MESSAGES)
    with pytest.raises(Unavailable):
        evidence(harness, tmp_path, deciding=MESSAGES_API)


@pytest.mark.parametrize("deciding", [MESSAGES_API, MESSAGES])
def test_a_rate_limit_delays_either_recipe(harness: Harness, tmp_path: Path, deciding: LabelRecipe) -> None:
    harness.world.github.graphql.usage(harness.ids[0]).used = 5_000
    with pytest.raises(RateLimited):
        evidence(harness, tmp_path, deciding=deciding)


def test_a_commit_missing_on_github_still_gets_its_evidence(harness: Harness, tmp_path: Path) -> None:
    assert evidence(harness, tmp_path, head="c" * 40).path == tmp_path / FACTS


def test_the_child_gets_the_name_the_host_and_when_the_head_was_first_seen(harness: Harness, tmp_path: Path) -> None:
    harness.policy = dataclasses.replace(harness.policy, web_url="https://ghe.example:8443")
    context, seen_at = worked(harness), datetime(2026, 3, 1, tzinfo=UTC)
    made = evidence_file(context, Evidence(tmp_path / FACTS, "", MESSAGES), harness.repository, seen_at)
    assert made is not None
    assert (made.path, made.name, made.host) == (tmp_path / FACTS, "acme/shop", "ghe.example:8443")
    assert made.as_of == int(seen_at.timestamp())
    assert evidence_file(context, Evidence(None, "", MESSAGES), harness.repository, seen_at) is None
