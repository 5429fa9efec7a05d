"""What a fine-tuning run is gathered with: the same evidence as the verdict that it is to test."""

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
from tests.bot.handlers.finetuning.test_prepare import PrepareDesk, ended, open_prepare_desk

SCREENING = 1


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrepareDesk]:
    """A repository with two bugs, the second opened after the head was first seen."""
    with open_prepare_desk(tmp_path, monkeypatch) as opened:
        world = opened.desk.world
        world.shop.issue(1, labels=["bug"], opened_at=world.clock.now() - timedelta(days=3))
        assert opened.desk.is_measured() == SCREENING
        world.clock.advance(timedelta(days=2))
        world.shop.issue(2, labels=["bug"], opened_at=world.clock.now() - timedelta(days=1))
        yield opened


def prepared(desk: PrepareDesk, label_recipe_id: str) -> None:
    desk.prepared(label_recipe_id=label_recipe_id, head_sha=desk.desk.world.head, screening_id=SCREENING)


def test_a_run_under_issues_reads_them_as_they_were_when_the_head_was_first_seen(desk: PrepareDesk) -> None:
    prepared(desk, MESSAGES_API.id)
    [order] = desk.nursery.orders
    assert order.recipe == "messages+api"
    assert order.evidence.path == desk.clones.folder(*desk.desk.ids) / FACTS
    assert (order.evidence.name, order.evidence.as_of) == ("acme/shop", order.seen_at)
    tracked = tracked_of(order)
    assert tracked is not None
    assert set(tracked.tracker.facts) == {1}
    assert desk.newest.state == "queued"


def test_a_run_under_messages_asks_for_no_issue(desk: PrepareDesk) -> None:
    prepared(desk, MESSAGES.id)
    [order] = desk.nursery.orders
    assert (order.recipe, order.evidence) == ("messages", None)
    assert not any(seen.path == "/api/graphql" for seen in desk.desk.world.github.requests)


def test_a_run_under_issues_that_may_not_be_read_any_more_is_refused_with_the_reason(desk: PrepareDesk) -> None:
    installation = desk.desk.world.installation
    installation.permissions.pop("pull_requests")
    less = Installation(desk.desk.ids[0], 1, "acme", "Organization", "active", dict(installation.permissions))
    desk.desk.write(lambda c: save_installation(c, less, desk.desk.world.clock.now()))
    prepared(desk, MESSAGES_API.id)
    ending, reason = ended(desk.newest)
    assert ending == "refused"
    assert "the verdict was given with issues and pull requests" in reason
    assert "the App may not read all of them now" in reason
    assert desk.nursery.orders == []


def test_a_rate_limit_puts_the_preparation_off_and_ends_nothing(desk: PrepareDesk) -> None:
    desk.desk.world.github.graphql.usage(desk.desk.ids[0]).used = 5_000
    prepared(desk, MESSAGES_API.id)
    states: list[str] = [desk.newest.state]
    desk.desk.world.clock.advance(timedelta(hours=1, minutes=1))
    desk.does()
    states.append(desk.newest.state)
    assert states == ["waiting", "queued"]
