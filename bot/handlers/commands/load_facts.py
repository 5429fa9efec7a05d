"""Load the facts that decide a command, and the context of a comment about a run."""

from __future__ import annotations

from datetime import datetime

from bot.calibration.threshold_change import load_change
from bot.commands.facts import Facts, models_here
from bot.messages.outcome_text import render_change
from bot.messages.run_comment import RunContext
from bot.policy import Policy
from bot.records import Installation, Repository, Run
from bot.repo_config.effective import load_effective_config
from bot.store.budgets import load_budget, load_gpu_state, month_of, usage_of, usage_of_all
from bot.store.calibrations import calibration_of_run
from bot.store.database import Connection
from bot.store.runs import all_runs, open_runs, runs_of
from bot.store.screenings import newest_screening
from pipeline.calibration.ledger_entries import parse_threshold
from pipeline.json_fields import Fields, MalformedError


async def load_facts(
    connection: Connection,
    policy: Policy,
    installation: Installation,
    repository: Repository,
    now: datetime,
) -> Facts:
    """Load the facts. `head_sha` stays empty: only GitHub knows the current head."""
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
        screening=await newest_screening(connection, *ids),
        runs=tuple(await runs_of(connection, *ids)),
        budget=await load_budget(connection, ids[0]),
        usage=await usage_of(connection, ids[0], month),
        server_usage=await usage_of_all(connection, month),
        gpu=await load_gpu_state(connection),
    )


async def load_run_context(connection: Connection, run: Run, full_name: str, now: datetime) -> RunContext:
    """Load the context of a comment about a run: everything it shows besides the run itself."""
    open_here = await open_runs(connection, run.installation_id, run.repository_id)
    return RunContext(
        now=now,
        full_name=full_name,
        budget=await load_budget(connection, run.installation_id),
        usage=await usage_of(connection, run.installation_id, run.budget_month or month_of(now)),
        gpu=await load_gpu_state(connection),
        ahead=await _ahead(connection, run) if run.state == "queued" else 0,
        change=await _change(connection, run) if run.settled else "",
        others=tuple(other for other in open_here if other.purpose == "judge" and other.run_id < run.run_id),
    )


async def _change(connection: Connection, run: Run) -> str:
    """Render the effect of the outcome on the threshold; empty if nothing, or if another release stored it."""
    stored = await calibration_of_run(connection, run.installation_id, run.run_id)
    if stored is None:
        return ""
    try:
        after = parse_threshold(Fields(stored.threshold, "threshold"))
        change = load_change(stored.flips, after, stored.version)
    except MalformedError:
        return ""
    return render_change(change.before.value, change.after.value, len(change.flipped), change.judged)


async def _ahead(connection: Connection, run: Run) -> int:
    """Count the queued runs of all installations that come before this one."""
    queue = [(other.queued_at or other.made_at, other.run_id) for other in await all_runs(connection, "queued")]
    return sum(place < (run.queued_at or run.made_at, run.run_id) for place in queue)
