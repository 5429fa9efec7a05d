"""The audit of SKIPs: fine-tune a random share of them anyway, because nothing else would reveal a wrong SKIP.

It is off unless the operator sets a share, and needs a budget. The outcome appears in a check run marked as an audit.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

from bot.commands.facts import models_here, recipe_here
from bot.jobs.arguments import PrepareJob, request
from bot.policy import Policy
from bot.records import Run, StoredScreening
from bot.repo_config.effective import load_effective_config
from bot.store.budgets import load_budget, month_of
from bot.store.database import Connection
from bot.store.runs import RunRequest, open_run, runs_of

_BITS: Final = 53  # of precision in a float


def draws(share: float, installation_id: int, repository_id: int, month: str) -> bool:
    """Return whether a repository's SKIP is drawn in a calendar month ("2026-11").

    The draw is a hash of the three, so every worker draws the same for the whole month.
    """
    digest = hashlib.sha256(f"audit\0{installation_id}\0{repository_id}\0{month}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - _BITS)) / (1 << _BITS) < share


async def maybe_audit(connection: Connection, policy: Policy, screening: StoredScreening, now: datetime) -> Run | None:
    """Open and return the run of a measurable SKIP that is drawn; else return None.

    Call in the transaction that stores `screening`. A repository gets one audit a month, whatever its ending.
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
    run_request = RunRequest(
        purpose="judge",
        head_sha=screening.head_sha,
        base_model=models[0],
        recipe=recipe_here(policy.recipe, config),
        label_recipe_id=screening.label_recipe_id,
        screening_id=screening.screening_id,
        audit=True,
        config_hash=screening.config_hash,
    )
    run, _ = await open_run(connection, *ids, run_request, now)
    await request(connection, *ids, PrepareJob(run.run_id), now)
    return run


def _is_measurable_skip(screening: StoredScreening) -> bool:
    judgement = screening.judgement
    return not screening.failure and judgement.get("verdict") == "SKIP" and judgement.get("measurable") is True


def _was_drawn_in(run: Run, month: str) -> bool:
    return run.audit and month_of(run.made_at) == month
