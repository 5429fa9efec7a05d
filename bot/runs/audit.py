"""The audit of SKIPs: a random share of them is fine-tuned all the same, else nobody would ever learn of a wrong SKIP.

Off unless an operator asks for a share, and only where there is a budget. Nobody is answered; what came of it is told
in a check run that says that it is an audit.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

from bot.commands.facts import models_here, recipe_here
from bot.policy import Policy
from bot.records import Run, StoredScreening
from bot.repo_config.effective import load_effective_config
from bot.store.budgets import load_budget, month_of
from bot.store.database import Connection
from bot.store.jobs import request_job
from bot.store.runs import RunRequest, open_run, runs_of

_BITS: Final = 53  # that a float holds


def draws(share: float, installation_id: int, repository_id: int, month: str) -> bool:
    """Whether the SKIP of a repository is drawn in a calendar month ("2026-11"): once and for all of that month.

    A hash of the three is as good as a throw of dice, and the same on every worker.
    """
    digest = hashlib.sha256(f"audit\0{installation_id}\0{repository_id}\0{month}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - _BITS)) / (1 << _BITS) < share


async def maybe_audit(connection: Connection, policy: Policy, screening: StoredScreening, now: datetime) -> Run | None:
    """Open the run of a measurable SKIP that is drawn, and ask for its preparation; None where there is none.

    In the transaction that stores `screening`. One a repository and month, whatever became of it.
    """
    ids, month = (screening.installation_id, screening.repository_id), month_of(now)
    if not _is_measurable_skip(screening) or not draws(policy.audit_share, *ids, month):
        return None
    config = await load_effective_config(connection, policy, *ids)
    models = models_here(tuple(policy.base_models), policy.base_model, config)
    if policy.mode == "observe" or not config.finetune or not models:
        return None
    if await load_budget(connection, screening.installation_id) is None:
        return None
    if any(run.state != "ended" or _was_drawn_in(run, month) for run in await runs_of(connection, *ids)):
        return None
    request = RunRequest(
        purpose="judge",
        head_sha=screening.head_sha,
        base_model=models[0],
        recipe=recipe_here(policy.recipe, config),
        label_recipe_id=screening.label_recipe_id,
        screening_id=screening.screening_id,
        audit=True,
        config_hash=screening.config_hash,
    )
    run, _ = await open_run(connection, *ids, request, now)
    arguments = {"run_id": run.run_id}
    await request_job(connection, *ids, "prepare", now, key=str(run.run_id), arguments=arguments)
    return run


def _is_measurable_skip(screening: StoredScreening) -> bool:
    judged = screening.judgement
    return not screening.failure and judged.get("verdict") == "SKIP" and judged.get("measurable") is True


def _was_drawn_in(run: Run, month: str) -> bool:
    return run.audit and month_of(run.made_at) == month
