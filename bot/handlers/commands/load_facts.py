"""From our rows to what a command is decided by and what its answer tells."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bot.calibration.threshold_change import load_change
from bot.commands.facts import Facts, models_here
from bot.jobs.context import Policy
from bot.messages.outcome_text import render_change
from bot.messages.run_comment import RunContext
from bot.records import Installation, Repository, Run
from bot.repo_config.effective import load_effective_config
from bot.store.budgets import load_budget, load_gpu_state, month_of, usage_of, usage_of_all
from bot.store.calibrations import calibration_of_run
from bot.store.runs import all_runs, open_runs, runs_of
from bot.store.screenings import newest_screening
from pipeline.calibration.ledger_entries import parse_threshold
from pipeline.json_fields import Fields, MalformedError


async def load_facts(
    connection: Any,
    policy: Policy,
    installation: Installation,
    repository: Repository,
    now: datetime,
    *,
    head_sha: str = "",
) -> Facts:
    """`head_sha`: of the default branch now, where GitHub was asked."""
    ids, month = (repository.installation_id, repository.repository_id), month_of(now)
    config = await load_effective_config(connection, policy, *ids)
    return Facts(
        now=now,
        full_name=repository.full_name,
        config=config,
        archived=repository.archived,
        observes=policy.mode == "observe",
        permissions=installation.permissions,
        models=models_here(tuple(policy.base_models), policy.base_model, config),
        head_sha=head_sha,
        screening=await newest_screening(connection, *ids),
        runs=tuple(await runs_of(connection, *ids)),
        budget=await load_budget(connection, ids[0]),
        usage=await usage_of(connection, ids[0], month),
        server_usage=await usage_of_all(connection, month),
        gpu=await load_gpu_state(connection),
    )


async def load_told(connection: Any, run: Run, full_name: str, now: datetime) -> RunContext:
    """What is told of a run beside its row."""
    beside = await open_runs(connection, run.installation_id, run.repository_id)
    return RunContext(
        now=now,
        full_name=full_name,
        budget=await load_budget(connection, run.installation_id),
        usage=await usage_of(connection, run.installation_id, run.budget_month or month_of(now)),
        gpu=await load_gpu_state(connection),
        ahead=await _ahead(connection, run) if run.state == "queued" else 0,
        change=await _change(connection, run) if run.settled else "",
        others=tuple(other for other in beside if other.purpose == "judge" and other.run_id < run.run_id),
    )


async def _change(connection: Any, run: Run) -> str:
    """What its outcome did to the threshold; nothing where it did nothing, or another release wrote it down."""
    stored = await calibration_of_run(connection, run.installation_id, run.run_id)
    if stored is None:
        return ""
    try:
        after = parse_threshold(Fields(stored.threshold, "threshold"))
        change = load_change(stored.flips, after, stored.version)
    except MalformedError:
        return ""
    return render_change(change.before.value, change.after.value, len(change.flipped), change.judged)


async def _ahead(connection: Any, run: Run) -> int:
    """How many runs of any installation have waited longer in the queue."""
    queue = [(other.queued_at or other.made_at, other.run_id) for other in await all_runs(connection, "queued")]
    return sum(place < (run.queued_at or run.made_at, run.run_id) for place in queue)
