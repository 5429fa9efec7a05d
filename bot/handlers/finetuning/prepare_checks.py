"""What a run needs before anything is cloned: our rows, the configuration, GitHub's word, a token. Or why it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bot.base_models import recipe_of
from bot.commands.facts import models_here
from bot.handlers.finetuning.recheck import still_allowed
from bot.jobs.context import READ, JobContext
from bot.messages.reasons import (
    ARCHIVED,
    MODEL_NOT_ALLOWED,
    NO_BUDGET,
    NOT_SERVED,
    REPOSITORY_UNKNOWN,
    SUSPENDED,
    SWITCHED_OFF,
    WINNER_UNKNOWN,
)
from bot.records import Installation, Repository, Run, RunEnding
from bot.repo_config.effective import load_effective_config
from bot.repo_config.precedence import EffectiveConfig
from bot.sandbox.pair_task import PairTask
from bot.store.budgets import load_budget
from bot.store.installations import load_installation
from bot.store.repositories import load_repository
from bot.store.runs import load_run
from bot.store.screenings import load_screening
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.records import AssayError


class Ends(Exception):
    """The run comes to nothing: its ending, and why."""

    def __init__(self, ending: RunEnding, reason: str) -> None:
        super().__init__(reason)
        self.ending: RunEnding = ending
        self.reason = reason


@dataclass(frozen=True)
class Preparation:
    """A run with all that is needed to prepare it."""

    run: Run
    installation: Installation
    repository: Repository
    config: EffectiveConfig
    recipe: FinetuneRecipe
    gathering: PairTask
    seen_at: datetime  # when the pinned head was first seen
    token: str = field(default="", repr=False)


def require_active(installation: Installation) -> None:
    if installation.state != "active":
        raise Ends("cancelled", SUSPENDED if installation.state == "suspended" else NOT_SERVED)


async def look(context: JobContext, run: Run) -> Preparation:
    """What our rows and GitHub say now. Raises Ends where the run must not go on."""
    ids = context.installation_id, context.repository_id
    async with context.parts.database.read() as connection:
        installation = await load_installation(connection, context.installation_id)
        memory = await load_repository(connection, *ids)
        config = await load_effective_config(connection, context.parts.policy, *ids)
        predicted = await load_screening(connection, context.installation_id, run.screening_id)
        winner = await load_run(connection, context.installation_id, run.judged_run_id)
        budget = await load_budget(connection, context.installation_id)
    if memory is None or installation is None:
        raise Ends("cancelled", REPOSITORY_UNKNOWN)
    if budget is None:
        raise Ends("refused", NO_BUDGET)
    recipe = _recipe(context, run, config)
    gathering = _gathering(run, winner)
    if why := await still_allowed(context, run):
        raise Ends("cancelled", why)
    token = await context.parts.github.mint(*ids, READ)
    client = context.parts.github.installation_client(context.installation_id, token)
    repository = await client.repository(memory.repository.full_name, context.repository_id)
    if repository.archived:
        raise Ends("refused", ARCHIVED)
    seen_before = predicted is not None and predicted.head_sha == run.head_sha
    seen_at = predicted.measured_at if predicted is not None and seen_before else run.made_at
    return Preparation(run, installation, repository, config, recipe, gathering, seen_at, token)


def _recipe(context: JobContext, run: Run, config: EffectiveConfig) -> FinetuneRecipe:
    """What it is trained with, for as long as both the operator and the repository allow."""
    policy = context.parts.policy
    if not config.finetune:
        raise Ends("refused", SWITCHED_OFF)
    if run.base_model not in models_here(tuple(policy.base_models), policy.base_model, config):
        raise Ends("refused", MODEL_NOT_ALLOWED)
    minutes = policy.finetune_minutes
    try:
        return recipe_of(run, policy.base_models, min(minutes, config.max_minutes or minutes))
    except AssayError as problem:
        raise Ends("refused", str(problem)) from None


def _gathering(run: Run, winner: Run | None) -> PairTask:
    """What it reads: pairs to judge by, or what the adapter that won ranks."""
    if run.purpose == "judge":
        return PairTask("pairs", run.head_sha)
    window_s = _window_s(winner)
    if window_s is None:
        raise Ends("refused", WINNER_UNKNOWN)
    return PairTask("ranking", run.head_sha, window_s if run.purpose == "refit" else 0)


def _window_s(winner: Run | None) -> int | None:
    """The length of the training window that a run was judged by."""
    result = (winner.result if winner else None) or {}
    try:
        begins, ends = (datetime.fromisoformat(result[name]) for name in ("train_start", "eval_start"))
        return int((ends - begins).total_seconds())
    except (KeyError, TypeError, ValueError):
        return None
