"""Check a run before anything is cloned: rows, configuration, permission and a token; or end it with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bot.base_models import ModelNotOffered, recipe_of
from bot.commands.facts import models_here
from bot.handlers.finetuning.recheck import why_not_allowed
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
from bot.records import Budget, Installation, Repository, RepositoryMemory, Run, RunEnding, StoredScreening
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


class EndRun(Exception):
    """Raised to end the run: its ending, and the reason that its requester reads."""

    def __init__(self, ending: RunEnding, reason: str) -> None:
        super().__init__(reason)
        self.ending: RunEnding = ending
        self.reason = reason


@dataclass(frozen=True)
class PrepareState:
    """Everything in the store that the preparation of a run depends on."""

    run: Run
    installation: Installation | None
    memory: RepositoryMemory | None
    config: EffectiveConfig
    predicted: StoredScreening | None
    winner: Run | None  # of a refit or a score: the run whose adapter won
    budget: Budget | None


@dataclass(frozen=True)
class Preparation:
    """A run with all that gathering its input takes."""

    run: Run
    installation: Installation
    repository: Repository
    config: EffectiveConfig
    recipe: FinetuneRecipe
    gathering: PairTask
    seen_at: datetime  # when the pinned head was first seen
    token: str = field(default="", repr=False)


async def load_state(context: JobContext, run_id: int) -> PrepareState | None:
    """Return None without such a run."""
    installation_id, repository_id = context.installation_id, context.repository_id
    async with context.parts.database.read() as connection:
        run = await load_run(connection, installation_id, run_id)
        if run is None:
            return None
        config = await load_effective_config(connection, context.parts.policy, installation_id, repository_id)
        return PrepareState(
            run=run,
            installation=await load_installation(connection, installation_id),
            memory=await load_repository(connection, installation_id, repository_id),
            config=config,
            predicted=await load_screening(connection, installation_id, run.screening_id),
            winner=await load_run(connection, installation_id, run.judged_run_id),
            budget=await load_budget(connection, installation_id),
        )


def require_active(installation: Installation) -> None:
    """Raise EndRun unless the installation is active."""
    if installation.state != "active":
        raise EndRun("cancelled", SUSPENDED if installation.state == "suspended" else NOT_SERVED)


async def check(context: JobContext, state: PrepareState) -> Preparation:
    """Check the run against the store and GitHub as they are now. Raises EndRun."""
    run, ids = state.run, (context.installation_id, context.repository_id)
    if state.memory is None or state.installation is None:
        raise EndRun("cancelled", REPOSITORY_UNKNOWN)
    if state.budget is None:
        raise EndRun("refused", NO_BUDGET)
    recipe = _recipe(context, run, state.config)
    gathering = _gathering(run, state.winner)
    if why := await why_not_allowed(context, run, state.installation, state.memory, state.config):
        raise EndRun("cancelled", why)
    token = await context.parts.github.mint(*ids, READ)
    client = context.parts.github.installation_client(context.installation_id, token)
    repository = await client.repository(state.memory.repository.full_name, context.repository_id)
    if repository.archived:
        raise EndRun("refused", ARCHIVED)
    predicted = state.predicted
    seen_before = predicted is not None and predicted.head_sha == run.head_sha
    seen_at = predicted.measured_at if predicted is not None and seen_before else run.made_at
    return Preparation(run, state.installation, repository, state.config, recipe, gathering, seen_at, token)


def _recipe(context: JobContext, run: Run, config: EffectiveConfig) -> FinetuneRecipe:
    """Return the run's recipe within the limits of the operator and the repository."""
    policy = context.parts.policy
    if not config.finetune:
        raise EndRun("refused", SWITCHED_OFF)
    if run.base_model not in models_here(tuple(policy.base_models), policy.base_model, config):
        raise EndRun("refused", MODEL_NOT_ALLOWED)
    minutes = policy.finetune_minutes
    try:
        return recipe_of(run, policy.base_models, min(minutes, config.max_minutes or minutes))
    except ModelNotOffered:
        raise EndRun("refused", MODEL_NOT_ALLOWED) from None
    except AssayError as error:
        raise EndRun("refused", str(error)) from None


def _gathering(run: Run, winner: Run | None) -> PairTask:
    """Return what to gather: pairs to judge by, or the functions that the winning adapter ranks."""
    if run.purpose == "judge":
        return PairTask("pairs", run.head_sha)
    window_s = _window_s(winner)
    if window_s is None:
        raise EndRun("refused", WINNER_UNKNOWN)
    return PairTask("ranking", run.head_sha, window_s if run.purpose == "refit" else 0)


def _window_s(winner: Run | None) -> int | None:
    """Return the length of the training window that the winner was judged by."""
    result = (winner.result if winner else None) or {}
    try:
        begins, ends = (datetime.fromisoformat(result[name]) for name in ("train_start", "eval_start"))
        return int((ends - begins).total_seconds())
    except (KeyError, TypeError, ValueError):
        return None
