"""GitHub goes away for minutes, hours or days, at every step: whatever came meanwhile is answered when it is back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bot.policy import Policy
from bot.store.installations import recall_installation
from bot.store.tables import jobs
from tests.builders.outage_stage import POSTING, answered, outage_stage, texts
from tests.flows.test_screening_flow import count
from tests.simulator import faults
from tests.simulator.messages import Response

pytestmark = pytest.mark.faults

FOREVER = faults.FOREVER


def test_a_push_and_a_new_installation_of_an_outage_are_answered_within_ten_minutes_of_its_end(tmp_path: Path) -> None:
    with outage_stage(tmp_path) as stage:
        shop, installation = stage.installed()
        beta = stage.account("beta")
        till = stage.repository(beta, "till")
        for hours, years in ((0.1, 4.2), (6, 4.4), (48, 4.6)):
            stage.passes(hours=2)
            away = stage.github.fault(".*", faults.status(500), FOREVER)
            stage.push(shop, years)
            if not till.check_runs:
                stage.install(beta, till)
            stage.passes(hours=hours / 12, steps=12)
            assert not answered(shop)[0]
            assert "GitHub cannot be reached" in stage.error(installation, shop)
            away.stop()
            stage.passes(minutes=1, steps=10)
            assert answered(shop, till) == [True, True], f"after {hours} hours"
            assert stage.error(installation, shop) == ""


def test_a_key_or_a_clock_that_was_wrong_for_an_hour_loses_nothing(tmp_path: Path) -> None:
    with outage_stage(tmp_path) as stage:
        shop, _ = stage.installed()
        stage.passes(hours=2)
        wrong = stage.github.fault(".*", faults.unauthorized(), FOREVER)
        stage.push(shop)
        stage.passes(minutes=10, steps=6)
        wrong.stop()
        stage.passes(minutes=1, steps=10)
        assert answered(shop) == [True]


def test_an_outage_of_a_single_step_is_outlasted(tmp_path: Path) -> None:
    steps = (
        "POST .*/access_tokens",
        "GET /repos/acme/shop",
        "GET .*/commits/heads.*",
        "GET .*/contents/.*",
        "GET .*git/info/refs.*",
        "POST .*git-upload-pack",
        "POST .*/check-runs",
    )
    with outage_stage(tmp_path) as stage:
        shop, _ = stage.installed()
        for number, step in enumerate(steps):
            stage.passes(hours=25)  # so that the next push is measured
            away = stage.github.fault(step, faults.status(500), FOREVER)
            stage.push(shop, 4.2 + number / 5)
            stage.passes(minutes=30, steps=4)
            assert away.met, step
            assert answered(shop) == [False], step
            away.stop()
            stage.passes(minutes=1, steps=10)
            assert answered(shop) == [True], step
            assert "could not be measured" not in shop.check_runs[-1]["output"]["title"], step


def test_what_only_accompanies_an_answer_never_holds_it_up(tmp_path: Path) -> None:
    with outage_stage(tmp_path) as stage:
        stage.github.fault("PATCH .*/check-suites/preferences", faults.status(500), FOREVER)
        shop, _ = stage.installed()
        assert answered(shop) == [True]


def test_a_command_of_an_outage_is_answered_once_after_it(tmp_path: Path) -> None:
    steps = ("GET .*/comments/.*", "GET .*/collaborators/.*", "POST .*/reactions", "POST .*/issues/.*/comments")
    with outage_stage(tmp_path) as stage:
        shop, _ = stage.installed()
        for number, step in enumerate(steps, start=1):
            stage.passes(hours=2)
            away = stage.github.fault(step, faults.status(500), FOREVER)
            comment = stage.heard(lambda: shop.comment("ann", "/finetune"))
            stage.passes(minutes=30, steps=4)
            assert len(texts(shop)) == number - 1, step
            away.stop()
            stage.passes(minutes=1, steps=10)
            assert len(texts(shop)) == number, step
            assert [each["content"] for each in comment.reactions] == ["eyes", "confused"], step


def test_a_verdict_whose_job_is_lost_is_found_by_its_missing_effect(tmp_path: Path) -> None:
    with outage_stage(tmp_path) as stage:
        away = stage.github.fault("POST .*/check-runs", faults.status(500), FOREVER)
        shop, installation = stage.installed()
        assert count(stage.app, "screenings", installation) == 1

        async def lose_all(connection) -> None:
            await connection.execute(jobs.delete())

        async def lost() -> None:
            async with stage.app.database.write() as connection:
                await lose_all(connection)

        stage.app.call(lost())
        away.stop()
        stage.passes(minutes=6)
        stage.app.until("the verdict", lambda: shop.check_runs)


def test_a_permanent_refusal_is_told_and_tried_again_once_a_day(tmp_path: Path) -> None:
    said = "the `acme` organization has an IP allow list enabled, and your IP address is not permitted"
    with outage_stage(tmp_path) as stage:
        shop, installation = stage.installed()
        stage.passes(hours=2)
        denied = stage.github.fault("POST .*/check-runs", faults.status(403, message=said), FOREVER)
        stage.push(shop)
        assert "IP allow list does not admit this server" in stage.error(installation, shop)
        stage.passes(hours=3, steps=7)
        assert denied.met == 1
        denied.stop()
        stage.passes(hours=6)
        stage.app.until("the answer", lambda: answered(shop) == [True])
        stage.app.until_idle()
        assert stage.error(installation, shop) == ""


def test_an_error_that_stood_is_cleared_by_the_next_check_run(tmp_path: Path) -> None:
    with outage_stage(tmp_path) as stage:
        shop, installation = stage.installed()
        stage.passes(hours=2)
        stage.github.fault("POST .*/check-runs", faults.status(403, message="Resource not accessible by integration"))
        stage.push(shop)
        assert "Resource not accessible by integration" in stage.error(installation, shop)
        stage.passes(hours=2)
        stage.push(shop, 4.4)
        assert len(shop.check_runs) == 2
        assert stage.error(installation, shop) == ""


def test_an_account_that_is_refused_keeps_its_data_for_the_grace_period(tmp_path: Path) -> None:
    with outage_stage(tmp_path) as stage:
        shop, installation = stage.installed(POSTING)
        parts, number = stage.app.parts(), installation.installation_id
        object.__setattr__(stage.app.workers._parts.policy, "allowed_accounts", ("other",))  # type: ignore[union-attr]
        assert parts.policy.refused_days == 7
        stage.passes(hours=1)
        stage.app.until("refused", lambda: stage.app.ask(lambda c: recall_installation(c, number)).refused_at)
        stage.passes(hours=24, steps=6)
        stage.heard(lambda: shop.comment("ann", "/screen"))
        assert count(stage.app, "screenings", installation) == 1
        stage.clock.advance(timedelta(days=2))
        stage.app.until("deleted", lambda: count(stage.app, "repositories", installation) == 0)
        assert count(stage.app, "installations", installation) == 1, "that it is refused is remembered"


def test_a_renamed_account_stays_allowed_and_is_known_by_its_new_name(tmp_path: Path) -> None:
    with outage_stage(tmp_path, Policy(sweep_s=0.1, allowed_accounts=("acme",))) as stage:
        shop, installation = stage.installed()
        stage.github.rename_account(shop.owner, "apex")
        told = {
            "action": "renamed",
            "account": {"login": "apex", "id": shop.owner.account_id, "type": "Organization"},
            "changes": {"login": {"from": "acme"}},
            "installation": {"id": installation.installation_id},
            "target_type": "Organization",
        }
        assert stage.sends("installation_target", told) == 202
        assert count(stage.app, "screenings", installation) == 1
        stage.push(shop)
        stage.passes(hours=2)
        assert answered(shop) == [True]


def test_github_has_to_report_twice_that_an_installation_is_gone(tmp_path: Path) -> None:
    with outage_stage(tmp_path) as stage:
        shop, installation = stage.installed()
        one = f"GET /app/installations/{installation.installation_id}"
        wrong = [
            stage.github.fault(one, faults.status(404, message="Not Found"), FOREVER),
            stage.github.fault("GET /app/installations", Response(200, []), FOREVER),
        ]
        stage.sends("installation", {"action": "suspend", "installation": {"id": installation.installation_id}})
        stage.passes(minutes=5)
        assert count(stage.app, "screenings", installation) == 1
        for rule in wrong:
            rule.stop()
        stage.passes(minutes=10)
        assert count(stage.app, "screenings", installation) == 1
        stage.passes(hours=2)
        stage.push(shop)
        assert answered(shop) == [True]
