"""Select what ranks a repository, the baseline or a winning adapter, and request the runs that the adapter needs.

The newest conclusive outcome decides, by the time of its command, so a late result does not override a newer one.
`FinetuneFigures.best` applies `select_ranker` to that outcome. After a WIN, a `refit` retrains the recipe on the latest
window and ranks the head; from then on a `score` ranks newer heads, at most once a day and within the budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bot.jobs.arguments import PrepareJob, request
from bot.messages.finetune_context import NextStep
from bot.messages.reasons import RANKING_UNREADABLE, UNKNOWN
from bot.messages.screen_context import AdapterState, WonAdapter, shows_ranking
from bot.policy import Policy
from bot.records import Run, StoredScreening
from bot.repo_config.effective import load_effective_config
from bot.store.budgets import load_budget
from bot.store.database import Connection
from bot.store.repositories import load_repository
from bot.store.runs import RunRequest, open_run, runs_of
from bot.store.screenings import newest_screening, save_ranking
from pipeline.json_fields import MalformedError
from pipeline.ranking.shortlist import load_shortlist
from pipeline.reports.finetune_figures import FinetuneFigures, load_figures

SCORE_EVERY: Final = timedelta(days=1)


@dataclass(frozen=True)
class ActiveRanking:
    """The run that decides, and the runs of its adapter, newest first. Without a deciding run the baseline ranks."""

    judged: Run | None = None
    figures: FinetuneFigures | None = None
    rankers: tuple[Run, ...] = ()

    @property
    def by_adapter(self) -> bool:
        return self.figures is not None and self.figures.best != "baseline"

    @property
    def refit(self) -> Run | None:
        """The newest refit that finished and whose adapters are still stored."""
        done = (run for run in self.rankers if run.purpose == "refit" and run.ending == "finished")
        return next((run for run in done if run.artifacts), None)

    @property
    def failed_refit(self) -> Run | None:
        """The newest refit if none has finished and it has ended."""
        last = next((run for run in self.rankers if run.purpose == "refit"), None)
        return last if self.refit is None and last is not None and last.state == "ended" else None

    def ranking_of(self, head_sha: str) -> Mapping[str, Any] | None:
        """Return the stored ranking that a run made of this commit."""
        done = (run for run in self.rankers if run.ending == "finished" and run.head_sha == head_sha)
        return next((ranking for ranking in map(shortlist_in, done) if ranking is not None), None)

    def state_at(self, head_sha: str) -> tuple[AdapterState, str]:
        """Return whether the adapter ranks a commit, and why it failed there if it did."""
        here = [run for run in self.rankers if run.head_sha == head_sha]
        if self.ranking_of(head_sha) is not None:
            return "ranks", ""
        if any(run.state != "ended" for run in here) or (self.refit is None and self._is_refitting()):
            return "coming", ""
        if failed := next((run for run in [*here, *filter(None, [self.failed_refit])]), None):
            return "failed", _why_failed(failed)
        return "waits", ""

    def adapter_at(self, head_sha: str) -> WonAdapter | None:
        """Return the adapter as a check run of this commit shows it; None if the baseline ranks."""
        if self.judged is None or self.figures is None or self.figures.best == "baseline":
            return None
        state, reason = self.state_at(head_sha)
        return WonAdapter(self.judged.run_id, self.figures.best, self.judged.made_at, self.figures.delta, state, reason)

    def next_step(self, run: Run, *, visible: bool) -> tuple[NextStep, str]:
        """Return the next step after a finished run, as of now, and why the refit failed if it did."""
        figures = load_figures(run.result)
        if figures.conclusive and self.judged is not None and self.judged.run_id != run.run_id:
            return "overruled", ""
        if figures.best == "baseline":
            return "", ""
        if not visible:
            return "unseen", ""
        if self.refit is not None:
            return "ranks", ""
        if self._is_busy():
            return "coming", ""
        if self.failed_refit is not None:
            return "failed", _why_failed(self.failed_refit)
        return "off", ""

    def _is_busy(self) -> bool:
        return any(run.state != "ended" for run in self.rankers)

    def _is_refitting(self) -> bool:
        return any(run.purpose == "refit" and run.state != "ended" for run in self.rankers)


def active_ranking(runs: Sequence[Run]) -> ActiveRanking:
    """Select the deciding run and the runs of its adapter from all runs of one repository."""
    judged = [(run, load_figures(run.result)) for run in runs if run.purpose == "judge" and run.ending == "finished"]
    conclusive = [(run, figures) for run, figures in judged if figures.conclusive]
    if not conclusive:
        return ActiveRanking()
    newest, figures = max(conclusive, key=lambda pair: (pair[0].made_at, pair[0].run_id))
    rankers = [run for run in runs if run.purpose != "judge" and run.judged_run_id == newest.run_id]
    return ActiveRanking(newest, figures, tuple(sorted(rankers, key=lambda run: run.run_id, reverse=True)))


def _why_failed(run: Run) -> str:
    return RANKING_UNREADABLE if run.ending == "finished" else run.reason or UNKNOWN


def shortlist_in(run: Run) -> Mapping[str, Any] | None:
    """Return the ranking in the result of a refit or a score; None if it is missing or malformed."""
    ranking = (run.result or {}).get("shortlist")
    try:
        load_shortlist(ranking)
    except MalformedError:
        return None
    return dict(ranking) if isinstance(ranking, Mapping) else None


async def load_active_ranking(connection: Connection, installation_id: int, repository_id: int) -> ActiveRanking:
    return active_ranking(await runs_of(connection, installation_id, repository_id))


async def request_scores(
    connection: Connection, policy: Policy, installation_id: int, repository_id: int, now: datetime
) -> bool:
    """Have the adapter that won, if any, rank the newest screening: from a stored ranking, or by opening a run.

    Call in the transaction that stores a screening or applies a run. Return whether the ranking changed now.
    """
    ids = installation_id, repository_id
    newest = await newest_screening(connection, *ids)
    if newest is None or newest.failure:
        return False
    active = await load_active_ranking(connection, *ids)
    if not active.by_adapter or not await is_visible(connection, policy, *ids):
        return False
    ranking = active.ranking_of(newest.head_sha)
    if ranking is not None:
        return await save_ranking(connection, *ids, newest.head_sha, ranking)
    if why_no_run(active, newest.head_sha, now) or not await can_run(connection, policy, *ids):
        return False
    await _open(connection, policy, active, newest, now)
    return False


def why_no_run(active: ActiveRanking, head_sha: str, now: datetime) -> str:
    """Return why no run is opened to rank this commit now; empty if one is."""
    if any(run.state != "ended" for run in active.rankers):
        return "a run is already open"
    if any(run.head_sha == head_sha for run in active.rankers):
        return "this commit was tried before"
    latest = (run for run in active.rankers if run is not active.refit)
    if any(run.made_at > now - SCORE_EVERY for run in latest):
        return "a run was requested within the last day"
    return ""


async def is_visible(connection: Connection, policy: Policy, installation_id: int, repository_id: int) -> bool:
    """Return whether check runs show the ranking; if not, none is made."""
    memory = await load_repository(connection, installation_id, repository_id)
    config = await load_effective_config(connection, policy, installation_id, repository_id)
    return memory is not None and shows_ranking(memory.repository, config.publish_ranking)


async def can_run(connection: Connection, policy: Policy, installation_id: int, repository_id: int) -> bool:
    """Return whether fine-tuning is on here. The budget is checked when the run is prepared."""
    config = await load_effective_config(connection, policy, installation_id, repository_id)
    budget = await load_budget(connection, installation_id)
    return policy.mode != "observe" and config.finetune and budget is not None


async def _open(
    connection: Connection, policy: Policy, active: ActiveRanking, newest: StoredScreening, now: datetime
) -> None:
    judged = active.judged
    if judged is None or judged.base_model not in policy.base_models:
        return  # the operator no longer offers that model
    ids = judged.installation_id, judged.repository_id
    run_request = RunRequest(
        purpose="refit" if active.refit is None else "score",
        head_sha=newest.head_sha,
        base_model=judged.base_model,
        recipe=judged.recipe,
        label_recipe_id=judged.label_recipe_id,
        screening_id=newest.screening_id,
        judged_run_id=judged.run_id,
        config_hash=judged.config_hash,
    )
    run, _ = await open_run(connection, *ids, run_request, now)
    await request(connection, *ids, PrepareJob(run.run_id), now)
