"""A run is gathered with the same evidence as the verdict that it tests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.handlers.screening.evidence import FACTS
from bot.records import Installation
from bot.sandbox.evidence_file import tracked_of
from bot.store.installations import save_installation
from pipeline.label_recipe import MESSAGES, MESSAGES_API
from tests.bot.handlers.finetuning.test_prepare import PrepareHarness, ended, open_prepare_harness

SCREENING = 1


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrepareHarness]:
    """A repository with two bugs, the second opened after the head was first seen."""
    with open_prepare_harness(tmp_path, monkeypatch) as opened:
        world = opened.harness.world
        world.shop.issue(1, labels=["bug"], opened_at=world.clock.now() - timedelta(days=3))
        assert opened.harness.is_measured() == SCREENING
        world.clock.advance(timedelta(days=2))
        world.shop.issue(2, labels=["bug"], opened_at=world.clock.now() - timedelta(days=1))
        yield opened


def prepared(harness: PrepareHarness, label_recipe_id: str) -> None:
    harness.prepared(label_recipe_id=label_recipe_id, head_sha=harness.harness.world.head, screening_id=SCREENING)


def test_a_run_under_issues_reads_them_as_they_were_when_the_head_was_first_seen(harness: PrepareHarness) -> None:
    prepared(harness, MESSAGES_API.id)
    [order] = harness.supervisor.orders
    assert order.recipe == "messages+api/2"
    assert order.evidence.path == harness.clones.folder(*harness.harness.ids) / FACTS
    assert (order.evidence.name, order.evidence.as_of) == ("acme/shop", order.seen_at)
    tracked = tracked_of(order)
    assert tracked is not None
    assert set(tracked.tracker.facts) == {1}
    assert harness.newest.state == "queued"


def test_a_run_under_messages_asks_for_no_issue(harness: PrepareHarness) -> None:
    prepared(harness, MESSAGES.id)
    [order] = harness.supervisor.orders
    assert (order.recipe, order.evidence) == ("messages/2", None)
    assert not any(seen.path == "/api/graphql" for seen in harness.harness.world.github.requests)


def test_a_run_under_issues_that_may_not_be_read_any_more_is_refused_with_the_reason(harness: PrepareHarness) -> None:
    installation = harness.harness.world.installation
    installation.permissions.pop("pull_requests")
    less = Installation(harness.harness.ids[0], 1, "acme", "Organization", "active", dict(installation.permissions))
    harness.harness.write(lambda c: save_installation(c, less, harness.harness.world.clock.now()))
    prepared(harness, MESSAGES_API.id)
    ending, reason = ended(harness.newest)
    assert ending == "refused"
    assert "the verdict used issues and pull requests" in reason
    assert "the App can no longer read all of them" in reason
    assert harness.supervisor.orders == []


def test_a_rate_limit_delays_the_preparation_and_ends_nothing(harness: PrepareHarness) -> None:
    harness.harness.world.github.graphql.usage(harness.harness.ids[0]).used = 5_000
    prepared(harness, MESSAGES_API.id)
    states: list[str] = [harness.newest.state]
    harness.harness.world.clock.advance(timedelta(hours=1, minutes=1))
    harness.does()
    states.append(harness.newest.state)
    assert states == ["waiting", "queued"]
