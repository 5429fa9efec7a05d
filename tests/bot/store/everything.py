"""An installation with rows in every table, and a call of every function that may touch them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from bot.records import Event, Job, Run, StoredScreening
from bot.store import (
    budgets,
    calibrations,
    check_runs,
    configs,
    content_writes,
    deliveries,
    installations,
    jobs,
    ledger,
    reply_comments,
    repositories,
    runs,
    screenings,
    shared_outcomes,
    verdicts,
)
from bot.store.runs import RunRequest
from bot.store.shared_outcomes import SharedFigures
from tests.bot.store.conftest import Store
from tests.bot.store.values import HEAD, NEXT, NOW, after, installation, repository

MONTH = "2024-05"
NUMBERS = range(1, 9)  # those that rows of any installation have in these tests
FIGURES = SharedFigures("r1", "tiny", 0.05, 0.04, MONTH)

Call = tuple[Any, ...]  # a function and its arguments but the connection


class Held(NamedTuple):
    """An installation's running job and run."""

    job: Job
    run: Run

    @property
    def ids(self) -> tuple[int, int]:
        return self.job.installation_id, self.job.repository_id

    def posing_as(self, installation_id: int) -> Held:
        """Return the same ids and leases under another installation."""
        return Held(
            replace(self.job, installation_id=installation_id), replace(self.run, installation_id=installation_id)
        )


def everything_of(store: Store, installation_id: int, tag: str) -> Held:
    """Store rows in every table, identical for each installation except for its id."""
    ids = installation_id, 7
    store(installations.save_installation, installation(installation_id), NOW)
    store(repositories.save_repository, repository(7, installation_id))
    store(repositories.note_push, *ids, HEAD, True, NOW)
    ranking = {"scorer": "baseline"}
    screening_id = store(
        screenings.save_screening, *ids, HEAD, NOW, {"pairs": 1}, {"verdict": "RUN"}, "", "r1", "c1", ranking
    )
    posted = store(check_runs.create_check_run, *ids, "assay/screen", HEAD, screening_id, "success", NOW)
    store(check_runs.mark_posted, installation_id, posted.row_id, 9, NOW)
    store(check_runs.create_check_run, *ids, "assay/screen", HEAD, screening_id, "success", NOW)
    store(content_writes.reserve_write, installation_id, NOW, lambda times, now: now)
    job_id = store(jobs.request_job, *ids, "screen", NOW)
    job = store(jobs.claim_job, ["screen"], NOW, NOW)
    assert job is not None
    assert (job.job_id, job.installation_id) == (job_id, installation_id)
    store(jobs.request_job, *ids, "post", after(3600))
    (stored,) = store(deliveries.store_deliveries, [(f"guid-{tag}", Event("push", "", *ids))], NOW)
    store(deliveries.finish_delivery, stored.delivery_id, "handled", job_id)
    return Held(job, _finetunes(store, ids))


def _finetunes(store: Store, ids: tuple[int, int]) -> Run:
    """A run at work, what an earlier one of a repository that went has cost, and an outcome with all that follows."""
    me, _ = ids
    store(budgets.set_budget, me, 600.0, 1, NOW)
    store(repositories.save_repository, repository(6, me))
    _queue(store, (me, 6))
    store(repositories.delete_repository, me, 6)
    _queue(store, ids)
    run = store(runs.claim_run, "gpu-1", NOW, NOW, lease_s=60.0)
    assert run is not None
    assert (run.installation_id, run.repository_id) == ids
    store(reply_comments.create_reply, *ids, 30, 4, NOW, run_id=run.run_id)
    entry_id = store(ledger.append_entry, *ids, run.run_id, {"kind": "outcome"}, NOW)
    store(calibrations.save_calibration, me, "r1", "tiny", "v1", {}, {"entries": [entry_id]}, {}, run.run_id, NOW)
    store(shared_outcomes.share, *ids, FIGURES)
    return run


def _queue(store: Store, ids: tuple[int, int]) -> None:
    run, _ = store(runs.open_run, *ids, request(HEAD), NOW)
    assert store(runs.queue_run, run, pair_set_id="", minutes=60.0, month=MONTH, now=NOW)


def request(head_sha: str) -> RunRequest:
    return RunRequest(purpose="judge", head_sha=head_sha, base_model="tiny", recipe={}, label_recipe_id="r1")


def all_that_can_be_done_to(held: Held) -> Iterator[Call]:
    """A call of every function that takes an installation, with arguments of these; the last ones delete."""
    me, ids = held.job.installation_id, held.ids
    yield from _to_repositories(me, ids)
    yield from _to_screenings_and_check_runs(me, ids)
    yield from _to_runs(held.run, ids)
    yield from _to_what_follows_from_runs(me, ids)
    yield from _to_jobs(held.job, ids)
    yield repositories.delete_repository, *ids
    yield installations.delete_installation, me


def _to_repositories(me: int, ids: tuple[int, int]) -> list[Call]:
    return [
        (installations.load_installation, me),
        (installations.lock_installation, me),
        (installations.save_installation, installation(me, account_login="renamed"), after(1)),
        (installations.set_installation_state, me, "suspended"),
        (installations.recall_installation, me),
        (installations.note_owed, me, "screen"),
        (installations.note_listed, me, after(1)),
        (installations.note_refused, me, after(1)),
        (installations.note_gone, me, after(1)),
        (installations.note_installation_error, me, "denied"),
        (configs.load_configs, *ids),
        (configs.save_organization_config, me, {"head_sha": NEXT}),
        (configs.save_repository_config, *ids, {"head_sha": NEXT}),
        (repositories.load_repository, *ids),
        (repositories.list_repositories, me),
        (repositories.save_repository, repository(7, me, full_name="acme/renamed")),
        (repositories.note_push, *ids, "c" * 40, False, after(1)),
        (repositories.finish_push_burst, *ids, "c" * 40),
        (repositories.note_history_changed, *ids),
        (repositories.note_suites_off, *ids),
        (repositories.note_error, *ids, "broken"),
        (repositories.note_screened, *ids, HEAD, after(1), ""),
        (repositories.note_posted, *ids, after(1)),
    ]


def _to_screenings_and_check_runs(me: int, ids: tuple[int, int]) -> list[Call]:
    values: dict[str, Any] = {"measurement": {}, "judgement": {}, "failure": "", "label_recipe_id": "r1"}
    theirs = [
        StoredScreening(number, *ids, HEAD, NOW, config_hash="", ranking={"of": me}, **values) for number in NUMBERS
    ]
    return [
        *((screenings.load_screening, me, number) for number in NUMBERS),
        (screenings.newest_screening, *ids),
        (screenings.newest_measured, *ids),
        (verdicts.standing_verdicts, me),
        (verdicts.lock_newest, *ids),
        (screenings.save_ranking, *ids, HEAD, {"scorer": "adapter"}),
        (screenings.forget_rankings, *ids),
        *((verdicts.judge_again, me, screening, {"verdict": "SKIP"}) for screening in theirs),
        (screenings.save_screening, *ids, HEAD, after(1), {}, {}, "crashed", "r1", "c1"),
        (screenings.drop_ranking, *ids),
        (check_runs.newest_posted, *ids, "assay/screen"),
        (check_runs.unposted_check_runs, *ids, "assay/screen"),
        (check_runs.pressed_check_run, *ids, 9),
        *((check_runs.load_check_run, me, number) for number in NUMBERS),
        (check_runs.shows_screening, *ids, HEAD, 1),
        *((check_runs.forget_unposted, me, number) for number in NUMBERS),
        *((check_runs.mark_posted, me, number, 10, after(1)) for number in NUMBERS),
        *((check_runs.replace_posted, me, number, 11) for number in NUMBERS),
        (check_runs.create_check_run, *ids, "assay/screen", HEAD, 1, "neutral", after(1)),
        (check_runs.posted_for_run, *ids, 1),
        (check_runs.posted_on, *ids, HEAD),
        (check_runs.posted_as, *ids, "assay/finetune/1"),
        (content_writes.reserve_write, me, after(1), lambda times, now: now),
    ]


def _to_runs(run: Run, ids: tuple[int, int]) -> list[Call]:
    """Return the run to the queue, after which finishing it fails with a lost lease."""
    me, _ = ids
    queued = replace(run, state="queued", lease_token=None)
    return [
        (budgets.load_budget, me),
        (budgets.usage_of, me, MONTH),
        (budgets.set_budget, me, 900.0, 2, after(1)),
        (runs.open_run, *ids, request(NEXT), after(1)),
        *((runs.load_run, me, number) for number in NUMBERS),
        (runs.lock_run, me, run.run_id),
        (runs.open_runs, me),
        (runs.runs_of, *ids),
        (runs.queue_run, replace(run, state="waiting")),
        (runs.renew_run, run, after(60), 5.0),
        (runs.note_progress, run, {"step": 1}, after(1)),
        (runs.note_checkpoint, run, "c" * 64),
        (runs.request_cancellation, run),
        (runs.give_back_run, run, "stopped", after(1)),
        (runs.requeue_run, run, "vanished", after(1)),
        (runs.finish_run, run, "finished", "", after(1)),
        (runs.end_run, queued, "cancelled", "cancelled", after(1)),
        (runs.settle_run, run),
        (runs.forget_artifacts, run),
    ]


def _to_what_follows_from_runs(me: int, ids: tuple[int, int]) -> list[Call]:
    return [
        (reply_comments.create_reply, *ids, 31, 4, after(1)),
        (reply_comments.replies_of_run, me, 1),
        *((reply_comments.load_reply, me, number) for number in NUMBERS),
        *((reply_comments.note_reply_tried, me, number, after(1)) for number in NUMBERS),
        *((reply_comments.note_reply_posted, me, number, 8, "d" * 64, after(1)) for number in NUMBERS),
        *((reply_comments.give_up_reply, me, number) for number in NUMBERS),
        (ledger.lock_ledger, me),
        (ledger.append_entry, *ids, 0, {"kind": "excluded"}, after(1)),
        (ledger.entries_of, me),
        (ledger.entries_of_run, me, 1),
        (calibrations.save_calibration, me, "r1", "tiny", "v2", {}, {}, {}, 0, after(1)),
        (calibrations.calibrations_of, me),
        (calibrations.newest_calibration, me, "r1", "tiny"),
        (calibrations.calibration_of_run, me, 1),
        (shared_outcomes.shared_rows, me),
        (shared_outcomes.share, *ids, FIGURES),
        (shared_outcomes.take_back, me, NUMBERS),
        (shared_outcomes.disown, *ids),
        (budgets.keep_minutes, *ids, me),
        (budgets.remove_budget, me),
    ]


def _to_jobs(job: Job, ids: tuple[int, int]) -> list[Call]:
    me, _ = ids
    return [
        (jobs.request_job, *ids, "screen", after(1)),
        (jobs.request_job, *ids, "post", after(1)),
        (jobs.delay_jobs, me, "post", after(9)),
        (jobs.recent_jobs, *ids, "screen", NOW),
        (jobs.is_requested, *ids, "screen"),
        (jobs.hold_lease, job),
        (jobs.renew_lease, job, after(60)),
        (jobs.finish_job, job, "done", after(1)),
        (jobs.reschedule_job, job, after(1), "later"),
        (jobs.reopen_job, job, after(1), "gone"),
        (jobs.fail_job, job, after(1), "gone"),
        (jobs.cancel_jobs, *ids),
        (jobs.cancel_jobs, me),
    ]


OPTIONS: dict[Any, dict[str, Any]] = {
    jobs.reschedule_job: {"counts": True},
    jobs.cancel_jobs: {"reason": "removed"},
    runs.queue_run: {"pair_set_id": "", "minutes": 6.0, "month": MONTH, "now": after(1)},
    runs.give_back_run: {"counts": True, "spent_minutes": 6.0},
    runs.finish_run: {"spent_minutes": 6.0},
}
