"""Audits test a random share of SKIPs, once a month, and never without a budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest

from bot.policy import Policy
from bot.records import Run, StoredScreening
from bot.runs.audit import draws, maybe_audit
from bot.store.budgets import month_of, set_budget
from bot.store.configs import save_repository_config
from bot.store.jobs import recent_jobs
from bot.store.runs import end_run, runs_of
from bot.store.screenings import save_screening
from pipeline.finetuning.recipe import BaseModel
from tests.bot.conftest import Shop, Story

IDS = st.integers(1, 1 << 40)
SHARES = st.floats(0, 1)
MONTHS = [f"{year}-{month:02}" for year in (2026, 2027) for month in range(1, 13)]
ALL = Policy(audit_share=1.0, base_models={"acme/tiny": BaseModel("acme/tiny", "0" * 40)}, base_model="acme/tiny")


@given(IDS, IDS, st.sampled_from(MONTHS))
def test_a_share_of_zero_draws_none_and_a_share_of_one_draws_all(
    installation_id: int, repository_id: int, month: str
) -> None:
    assert not draws(0.0, installation_id, repository_id, month)
    assert draws(1.0, installation_id, repository_id, month)


@given(SHARES, SHARES, IDS, IDS, st.sampled_from(MONTHS))
def test_a_larger_share_draws_a_superset(
    one: float, other: float, installation_id: int, repository_id: int, month: str
) -> None:
    if draws(min(one, other), installation_id, repository_id, month):
        assert draws(max(one, other), installation_id, repository_id, month)


def place(installation_id: int, repository_id: int, month: str) -> float:
    """The least share of which it is drawn, to a thousandth."""
    low, high = 0, 1_000
    while low < high:
        middle = (low + high) // 2
        low, high = (
            (low, middle) if draws(middle / 1_000, installation_id, repository_id, month) else (middle + 1, high)
        )
    return low / 1_000


@pytest.mark.parametrize(
    "those",
    [
        [(1, repository_id, "2026-11") for repository_id in range(4_000)],
        [(installation_id, 7, "2026-11") for installation_id in range(4_000)],
        [(1, repository_id, month) for repository_id in range(200) for month in MONTHS],
    ],
)
def test_draws_are_uniform_over_repositories_installations_and_months(those: list[tuple[int, int, str]]) -> None:
    assert kstest([place(*each) for each in those], "uniform").pvalue > 0.001
    drawn = sum(draws(0.05, *each) for each in those)
    assert binomtest(drawn, len(those), 0.05).pvalue > 0.001


def test_draws_of_different_months_are_independent() -> None:
    both = [[draws(0.5, 1, repository_id, month) for month in MONTHS[:2]] for repository_id in range(4_000)]
    assert binomtest(sum(first == second for first, second in both), 4_000, 0.5).pvalue > 0.001


async def screened(shop: Shop, **judgement: Any) -> StoredScreening:
    judged = {"verdict": "SKIP", "measurable": True, **judgement}
    failure = judged.pop("failure", "")
    async with shop.database.write() as connection:
        screening_id = await save_screening(
            connection,
            10,
            100,
            head_sha="a" * 40,
            measured_at=shop.clock.now(),
            measurement={},
            judgement=judged,
            failure=failure,
            label_recipe_id="labels",
            config_hash="own",
        )
    return StoredScreening(screening_id, 10, 100, "a" * 40, shop.clock.now(), {}, judged, failure, "labels", "own")


async def audit(shop: Shop, screening: StoredScreening, policy: Policy = ALL) -> Run | None:
    return await shop.write(maybe_audit, policy, screening, shop.clock.now())


Play = Callable[[Story], None]


def test_a_drawn_skip_becomes_a_run_without_a_requester(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await shop.write(set_budget, 10, 100.0, 1, shop.clock.now())
        screening = await screened(shop)
        run = await audit(shop, screening)
        assert run is not None
        assert (run.audit, run.forced, run.asked_by, run.comment_id, run.purpose) == (True, False, None, None, "judge")
        assert (run.head_sha, run.screening_id, run.config_hash) == ("a" * 40, screening.screening_id, "own")
        assert (run.base_model, run.state) == ("acme/tiny", "waiting")
        job = await shop.claimed("screen")
        assert (job.kind, job.arguments) == ("prepare", {"run_id": run.run_id})

    play(story)


@pytest.mark.parametrize(
    ("judgement", "changes"),
    [
        ({"verdict": "RUN"}, {}),
        ({"measurable": False}, {}),
        ({"failure": "too large"}, {}),
        ({}, {"audit_share": 0.0}),
        ({}, {"base_models": {}}),
        ({}, {"mode": "observe"}),
    ],
)
def test_only_a_measurable_skip_that_may_run_is_audited(
    play: Play, judgement: dict[str, Any], changes: dict[str, Any]
) -> None:
    async def story(shop: Shop) -> None:
        await shop.write(set_budget, 10, 100.0, 1, shop.clock.now())
        assert await audit(shop, await screened(shop, **judgement), dataclasses.replace(ALL, **changes)) is None
        assert await shop.read(runs_of, 10, 100) == []

    play(story)


def test_without_a_budget_nothing_is_audited(play: Play) -> None:
    async def story(shop: Shop) -> None:
        assert await audit(shop, await screened(shop)) is None

    play(story)


def test_with_fine_tuning_switched_off_nothing_is_audited(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await shop.write(set_budget, 10, 100.0, 1, shop.clock.now())
        config = {"head_sha": "", "found": True, "config": {"finetune_enabled": False}, "problems": []}
        await shop.write(save_repository_config, 10, 100, config)
        assert await audit(shop, await screened(shop)) is None

    play(story)


def test_a_repository_is_audited_once_a_month_whatever_the_ending(play: Play) -> None:
    async def story(shop: Shop) -> None:
        await shop.write(set_budget, 10, 100.0, 1, shop.clock.now())
        run = await audit(shop, await screened(shop))
        assert run is not None
        assert await audit(shop, await screened(shop)) is None
        await shop.write(end_run, run, "crashed", "by itself", shop.clock.now())
        assert await audit(shop, await screened(shop)) is None
        month = month_of(shop.clock.now())
        while month_of(shop.clock.now()) == month:
            shop.clock.advance(timedelta(days=1))
        again = await audit(shop, await screened(shop))
        assert again is not None
        assert again.run_id != run.run_id
        jobs = await shop.read(recent_jobs, 10, 100, "prepare", run.made_at)
        assert len(jobs) == 2

    play(story)
