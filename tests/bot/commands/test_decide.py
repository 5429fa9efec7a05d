"""The decision about a command, in tables of facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.commands.decide import REFUSAL_KEYS, Join, Measure, Refuse, Say, Start, Stop, decide
from bot.commands.facts import models_here
from bot.commands.grammar import Cancel, Command, Finetune, Help, Screen, Status, Unclear
from bot.records import GpuState, Usage
from tests.bot.commands.facts import CONFIG, FULL, MODELS, facts
from tests.bot.messages.screenings import HEAD, MEASUREMENT, NEWER_HEAD, WINDOWS, at_density, failed, screened
from tests.builders.runs import a_run

HERE = a_run(head_sha=HEAD)
UNJUDGED = screened(replace(at_density(0.0394), held_out=150, held_out_positives=12))
YOUNG = screened(replace(MEASUREMENT, windows=replace(WINDOWS, too_little_history=True)))
SKIPPED = screened(at_density(0.0061))
PLAIN, FORCED = Finetune(), Finetune(force=True)


def test_a_run_starts_with_the_default_model() -> None:
    assert decide(PLAIN, facts()) == Start("ore/usual", forced=False)
    assert decide(Finetune(base_model="ore/large"), facts()) == Start("ore/large", forced=False)


PREVENTED: list[tuple[dict[str, Any], str]] = [
    ({"archived": True}, "archived"),
    ({"observes": True}, "observing"),
    ({"models": ()}, "no_models"),
    ({"budget": None}, "no_budget"),
    ({"config": replace(CONFIG, finetune=False)}, "switched_off"),
    ({"permissions": {**FULL, "checks": "read"}}, "lacks_permission"),
    ({"permissions": {"checks": "write"}}, "lacks_permission"),
    ({"head_sha": ""}, "empty"),
]


def test_what_an_owner_or_operator_has_to_change_comes_first_and_cannot_be_forced(subtests: pytest.Subtests) -> None:
    for changes, key in PREVENTED:
        with subtests.test(changes=changes, key=key):
            everything_else = {"screening": None, "usage": Usage(500, 0)} | changes
            for command in (PLAIN, FORCED):
                assert decide(command, facts(**changes)) == Refuse(key)  # type: ignore[arg-type]
                assert decide(command, facts(**everything_else)) == Refuse(key)  # type: ignore[arg-type]


def test_the_request_is_weighed_against_the_facts() -> None:
    cases: list[tuple[Command, dict[str, Any], object]] = [
        (Finetune(base_model="ore/other"), {}, Refuse("unknown_model")),
        (Finetune(base_model="ore/other"), {"runs": (HERE,)}, Refuse("unknown_model")),
        (PLAIN, {"screening": None}, Refuse("not_screened")),
        (PLAIN, {"screening": failed("too large")}, Refuse("screening_failed")),
        (PLAIN, {"screening": replace(screened(), judgement={"of": "another release"})}, Refuse("screening_failed")),
        (PLAIN, {"screening": YOUNG}, Refuse("cannot_train")),
        (FORCED, {"screening": YOUNG}, Refuse("cannot_train")),
        (FORCED, {"screening": screened(replace(MEASUREMENT, density=None))}, Refuse("cannot_train")),
        (PLAIN, {"screening": UNJUDGED}, Refuse("not_measurable")),
        (FORCED, {"screening": UNJUDGED}, Start("ore/usual", forced=True)),
        (PLAIN, {"screening": SKIPPED}, Refuse("skip")),
        (FORCED, {"screening": SKIPPED}, Start("ore/usual", forced=True)),
        (FORCED, {}, Start("ore/usual", forced=False)),
        (PLAIN, {"usage": Usage(400, 100)}, Refuse("out_of_budget")),
        (PLAIN, {"usage": Usage(400, 99.5)}, Start("ore/usual", forced=False)),
        (FORCED, {"screening": SKIPPED, "usage": Usage(600, 0)}, Refuse("out_of_budget")),
        (PLAIN, {"gpu": GpuState(ceiling_minutes=1_000)}, Refuse("server_out_of_budget")),
        (PLAIN, {"gpu": GpuState(ceiling_minutes=1_001)}, Start("ore/usual", forced=False)),
        (PLAIN, {"gpu": GpuState("power cut")}, Start("ore/usual", forced=False)),
    ]
    wrong = [
        (command, changes, got, expected)
        for command, changes, expected in cases
        if (got := decide(command, facts(**changes))) != expected
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "changes", [{}, {"screening": SKIPPED}, {"screening": None}, {"usage": Usage(500, 0)}], ids=str
)
def test_an_open_run_at_this_head_is_joined_whatever_the_verdict_or_the_budget(changes: dict[str, Any]) -> None:
    assert decide(PLAIN, facts(runs=(HERE,), **changes)) == Join(HERE)


@pytest.mark.parametrize(
    "other",
    [
        replace(HERE, head_sha=NEWER_HEAD),
        replace(HERE, state="ended", ending="crashed"),
        replace(HERE, purpose="refit"),
    ],
    ids=["another head", "ended", "of another purpose"],
)
def test_any_other_run_is_not_joined(other: Any) -> None:
    assert decide(PLAIN, facts(runs=(other,))) == Start("ore/usual", forced=False)


def test_the_other_commands_need_no_budget() -> None:
    cases: list[tuple[Command, object]] = [
        (Cancel(), Stop()),
        (Screen(), Measure()),
        (Status(), Say(Status())),
        (Help(), Say(Help())),
        (Unclear("/screen"), Say(Unclear("/screen"))),
    ]
    wrong = [
        (command, got, expected)
        for command, expected in cases
        if (got := decide(command, facts(budget=None, models=(), screening=None))) != expected
    ]
    assert wrong == []


def test_an_archived_repository_is_not_measured_again() -> None:
    assert decide(Screen(), facts(archived=True)) == Refuse("archived")


def test_every_refusal_can_happen() -> None:
    assert set(REFUSAL_KEYS) == {key for _, key in PREVENTED} | {
        "unknown_model", "not_screened", "screening_failed", "cannot_train", "not_measurable", "skip",
        "out_of_budget", "server_out_of_budget",
    }  # fmt: skip


def test_which_models_are_allowed() -> None:
    cases: list[tuple[str, str | None, tuple[str, ...]]] = [
        ("ore/usual", None, ("ore/usual", "ore/large")),
        ("ore/large", None, ("ore/large", "ore/usual")),
        ("ore/gone", None, ("ore/usual", "ore/large")),
        ("ore/usual", "ore/large", ("ore/large",)),
        ("ore/usual", "ore/other", ()),
    ]
    wrong = [
        (default, configured, got, allowed)
        for default, configured, allowed in cases
        if (got := models_here(MODELS, default, replace(CONFIG, base_model=configured))) != allowed
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("now", "renews"),
    [
        (datetime(2026, 11, 22, 12, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        (datetime(2027, 1, 31, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)),
    ],
)
def test_a_budget_renews_with_the_month(now: datetime, renews: datetime) -> None:
    assert facts(now=now).renews_on == renews
