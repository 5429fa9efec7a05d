"""What ranks a repository: the baseline, or an adapter that won here, and what has to be done for it to rank the head.

The newest conclusive outcome decides, by when its command was given: a result that comes late overrules nothing. After
a WIN its recipe is trained once more on the latest window (a `refit`), which ranks the head too; from then on a newer
head is scored by that adapter (a `score`), at most once a day and within the budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from bot.jobs.context import Policy
from bot.messages.reasons import RANKING_UNREADABLE, UNKNOWN
from bot.messages.screen_context import AdapterState, WonAdapter, shows_ranking
from bot.records import Run, StoredScreening
from bot.repo_config.effective import load_effective_config
from bot.store.budgets import load_budget
from bot.store.jobs import request_job
from bot.store.rankings import save_ranking
from bot.store.repositories import load_repository
from bot.store.runs import RunRequest, open_run, runs_of
from bot.store.screenings import newest_screening
from pipeline.json_fields import MalformedError
from pipeline.ranking.shortlist import load_shortlist
from pipeline.reports.finetune_figures import FinetuneFigures, load_figures

SCORE_EVERY: Final = timedelta(days=1)


@dataclass(frozen=True)
class ActiveRanking:
    """The run that decides, and the runs that rank by its adapter, newest first. Without one the baseline ranks."""

    judged: Run | None = None
    figures: FinetuneFigures | None = None
    rankers: tuple[Run, ...] = ()

    @property
    def by_adapter(self) -> bool:
        return self.figures is not None and self.figures.best != "baseline"

    @property
    def refit(self) -> Run | None:
        """The newest training once more that came to its end, with the adapters that it left."""
        done = (run for run in self.rankers if run.purpose == "refit" and run.ending == "finished")
        return next((run for run in done if run.artifacts), None)

    @property
    def failed_refit(self) -> Run | None:
        """The newest training once more, where none came to its end."""
        last = next((run for run in self.rankers if run.purpose == "refit"), None)
        return last if self.refit is None and last is not None and last.state == "ended" else None

    def ranking_of(self, head_sha: str) -> Mapping[str, Any] | None:
        """What a run has ranked already, as it is stored."""
        done = (run for run in self.rankers if run.ending == "finished" and run.head_sha == head_sha)
        return next((ranking for ranking in map(shortlist_in, done) if ranking is not None), None)

    def state_at(self, head_sha: str) -> tuple[AdapterState, str]:
        """How the adapter stands to a commit, and why where it failed there."""
        here = [run for run in self.rankers if run.head_sha == head_sha]
        if self.ranking_of(head_sha) is not None:
            return "ranks", ""
        if any(run.state != "ended" for run in here) or (self.refit is None and self._is_training()):
            return "coming", ""
        if failed := next((run for run in [*here, *filter(None, [self.failed_refit])]), None):
            return "failed", _why_failed(failed)
        return "waits", ""

    def adapter_at(self, head_sha: str) -> WonAdapter | None:
        """What is told of it beside a ranking of this commit."""
        if self.judged is None or self.figures is None or self.figures.best == "baseline":
            return None
        state, reason = self.state_at(head_sha)
        return WonAdapter(self.judged.run_id, self.figures.best, self.judged.made_at, self.figures.delta, state, reason)

    def _is_training(self) -> bool:
        return any(run.purpose == "refit" and run.state != "ended" for run in self.rankers)


def active_ranking(runs: Sequence[Run]) -> ActiveRanking:
    """Of all runs of one repository."""
    judged = [(run, load_figures(run.result)) for run in runs if run.purpose == "judge" and run.ending == "finished"]
    conclusive = [(run, figures) for run, figures in judged if figures.conclusive]
    if not conclusive:
        return ActiveRanking()
    newest, figures = max(conclusive, key=lambda found: (found[0].made_at, found[0].run_id))
    rankers = [run for run in runs if run.purpose != "judge" and run.judged_run_id == newest.run_id]
    return ActiveRanking(newest, figures, tuple(sorted(rankers, key=lambda run: run.run_id, reverse=True)))


def _why_failed(run: Run) -> str:
    return RANKING_UNREADABLE if run.ending == "finished" else run.reason or UNKNOWN


def shortlist_in(run: Run) -> Mapping[str, Any] | None:
    """The ranking in the result of a refit or a score; none where there is none that makes sense."""
    found = (run.result or {}).get("shortlist")
    try:
        load_shortlist(found)
    except MalformedError:
        return None
    return dict(found) if isinstance(found, Mapping) else None


async def load_active_ranking(connection: Any, installation_id: int, repository_id: int) -> ActiveRanking:
    return active_ranking(await runs_of(connection, installation_id, repository_id))


async def ask_for_scores(
    connection: Any, policy: Policy, installation_id: int, repository_id: int, now: datetime
) -> bool:
    """Rank the newest screening by the adapter where one won: at once where that was done before, else by a run.

    In the transaction that stores a screening, or that settles a run. Returns whether the ranking changed now.
    """
    ids = installation_id, repository_id
    newest = await newest_screening(connection, *ids)
    if newest is None or newest.failure:
        return False
    in_force = await load_active_ranking(connection, *ids)
    if not in_force.by_adapter or not await is_seen(connection, policy, *ids):
        return False
    ranking = in_force.ranking_of(newest.head_sha)
    if ranking is not None:
        return await save_ranking(connection, *ids, newest.head_sha, ranking)
    if why_no_run(in_force, newest.head_sha, now) or not await may_run(connection, policy, *ids):
        return False
    await _open(connection, policy, in_force, newest, now)
    return False


def why_no_run(in_force: ActiveRanking, head_sha: str, now: datetime) -> str:
    """Why no GPU worker is asked to rank this commit now; empty where one is."""
    if any(run.state != "ended" for run in in_force.rankers):
        return "one is on its way"
    if any(run.head_sha == head_sha for run in in_force.rankers):
        return "it was tried at this commit"
    latest = (run for run in in_force.rankers if run is not in_force.refit)
    if any(run.made_at > now - SCORE_EVERY for run in latest):
        return "one was asked for within a day"
    return ""


async def is_seen(connection: Any, policy: Policy, installation_id: int, repository_id: int) -> bool:
    """Whether anybody is shown the ranking: else none is made."""
    memory = await load_repository(connection, installation_id, repository_id)
    config = await load_effective_config(connection, policy, installation_id, repository_id)
    return memory is not None and shows_ranking(memory.repository, config.publish_ranking)


async def may_run(connection: Any, policy: Policy, installation_id: int, repository_id: int) -> bool:
    """Whether fine-tuning is on here. What is left of the budget is asked when the run is prepared."""
    config = await load_effective_config(connection, policy, installation_id, repository_id)
    budget = await load_budget(connection, installation_id)
    return policy.mode != "observe" and config.finetune and budget is not None


async def _open(
    connection: Any, policy: Policy, in_force: ActiveRanking, newest: StoredScreening, now: datetime
) -> None:
    judged = in_force.judged
    if judged is None or judged.base_model not in policy.base_models:
        return  # the operator offers that model no more
    ids = judged.installation_id, judged.repository_id
    request = RunRequest(
        purpose="refit" if in_force.refit is None else "score",
        head_sha=newest.head_sha,
        base_model=judged.base_model,
        recipe=judged.recipe,
        label_recipe_id=judged.label_recipe_id,
        screening_id=newest.screening_id,
        judged_run_id=judged.run_id,
        config_hash=judged.config_hash,
    )
    run, _ = await open_run(connection, *ids, request, now)
    arguments = {"run_id": run.run_id}
    await request_job(connection, *ids, "prepare", now, key=str(run.run_id), arguments=arguments)
