"""Assemble results from the parts of a run or refit, with the provenance and the model card of their adapters. Pure."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata

from pipeline.finetuning.comparison import judge
from pipeline.finetuning.events import Planned
from pipeline.finetuning.job_state import Embedded
from pipeline.finetuning.model_card import CardMetrics, CardScore, Provenance, Refit
from pipeline.finetuning.pair_set import PairSet
from pipeline.finetuning.ranker import ADAPTER, BLEND, RankerName, select_ranker
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.result import (
    TIME_LIMIT,
    Costs,
    FinetuneResult,
    RefitRecord,
    SeedRun,
    SeedSteps,
    WinningRun,
    Work,
)
from pipeline.ranking.statistics import Comparison

_VERSIONED = ("assay", "torch", "transformers", "peft", "safetensors", "numpy", "scikit-learn")

NO_VALIDATION = (
    "no training function was fixed in the last quarter of the training window, or none before it, so validation could "
    "not choose the number of steps: all planned steps were taken"
)


def control_of(recipe: FinetuneRecipe) -> str:
    """Describe what a control run corrupts on purpose; empty for an ordinary run."""
    corrupted = ["shuffled labels"] if recipe.shuffled_labels else []
    if recipe.ablation != "none":
        corrupted.append(f"{recipe.ablation} masked")
    return ", ".join(corrupted)


def assemble_result(
    pairs: PairSet,
    recipe: FinetuneRecipe,
    runs: Sequence[SeedRun],
    embedded: Embedded,
    planned: Planned,
    *,
    flops_per_token: float,
    notes: Sequence[str] = (),
) -> FinetuneResult:
    """Return the result of a run, before its adapters are written."""
    control = control_of(recipe)
    judgement = judge(
        pairs.scores,
        pairs.labels,
        [function.path for function in pairs.holdout],
        pairs.lines,
        seeds={run.seed: run.scores for run in runs},
        frozen=embedded.scores,
        control=control,
    )
    adapter = judgement.row(ADAPTER)
    return FinetuneResult(
        repo=pairs.repo,
        head_sha=pairs.head_sha,
        train_start=pairs.train_start,
        eval_start=pairs.eval_start,
        as_of=pairs.as_of,
        config_hash=pairs.config_hash,
        label_recipe_id=pairs.label_recipe_id,
        recipe=recipe,
        recipe_id=recipe.recipe_id(pairs.label_recipe_id),
        pair_set_id=pairs.id,
        trained_on=len(pairs.train),
        training_positives=pairs.positives,
        judgement=judgement,
        control=control,
        runs=tuple(runs),
        costs=costs_of(runs, embedded, planned, flops_per_token),
        adapters={},
        device=planned.device,
        versions=versions(),
        notes=(*_notes(runs, embedded), *notes),
        ended=TIME_LIMIT if len(runs) < len(recipe.seeds) or any(run.shortened for run in runs) else "",
        scores=None if adapter is None else adapter.scores,
    )


def assemble_record(
    ranking: RankingSet, recipe: FinetuneRecipe, winner: WinningRun, runs: Sequence[SeedRun], device: str
) -> RefitRecord:
    """Return the record of a refit, before its adapters are written; `device` is the device's name."""
    return RefitRecord(
        repo=ranking.repo,
        head_sha=ranking.head_sha,
        train_start=ranking.train_start,
        as_of=ranking.as_of,
        config_hash=ranking.config_hash,
        label_recipe_id=ranking.label_recipe_id,
        recipe=recipe,
        recipe_id=winner.recipe_id,
        ranking_set_id=ranking.id,
        judged=winner,
        trained_on=len(ranking.train),
        training_positives=ranking.positives,
        ranked=len(ranking.head),
        adapters=(),
        seconds=sum(run.seconds for run in runs),
        tokens=sum(run.training.tokens for run in runs),
        device=device,
        versions=versions(),
        ended=TIME_LIMIT if len(runs) < len(winner.steps) else "",
    )


def costs_of(runs: Sequence[SeedRun], embedded: Embedded, planned: Planned, flops_per_token: float) -> Costs:
    training = sum((run.training for run in runs), Work())
    return Costs(
        training=training,
        device_seconds=training.seconds + sum(run.scoring_seconds for run in runs) + embedded.seconds,
        expected_tokens=planned.tokens,
        expected_flops=planned.flops,
        expected_minutes=planned.minutes,
        flops=flops_per_token * training.tokens,
    )


def provenance_of(data: PairSet | RankingSet, seed: int, winner: WinningRun | None = None) -> Provenance:
    """Return the provenance of the adapter of `seed`; `winner` is the run that a refit relies on."""
    refit = None
    if winner is not None:
        refit = Refit(winner.run_id, winner.judged_at, winner.head_sha, labels_until=data.as_of)
    return Provenance(
        repo=data.repo,
        head_sha=data.head_sha,
        pair_set_id=data.id,
        label_recipe_id=data.label_recipe_id,
        seed=seed,
        trained_on=len(data.train),
        config_hash=data.config_hash,
        versions=versions(),
        refit=refit,
    )


def card_of(result: FinetuneResult) -> CardMetrics:
    judgement = result.judgement
    adapter = judgement.row(ADAPTER)
    official = (adapter.against_baseline if adapter else None) or Comparison()
    return CardMetrics(
        outcome=judgement.outcome,
        n=judgement.n,
        positives=judgement.positives,
        scores=tuple(
            CardScore(row.name, row.quality.rho, row.quality.rho_low, row.quality.rho_high) for row in judgement.rows
        ),
        delta=official.delta,
        delta_low=official.low,
        delta_high=official.high,
        rho_max=judgement.rho_max,
        control=result.control,
    )


def ranker_after(result: FinetuneResult) -> RankerName:
    """Return what ranks the repository after a run (`select_ranker`)."""
    adapter, blend = (result.judgement.row(name) for name in (ADAPTER, BLEND))
    return select_ranker(
        result.judgement.outcome,
        rho_adapter=adapter.quality.rho if adapter else None,
        rho_blend=blend.quality.rho if blend else None,
        control=result.control,
    )


def winning_run(result: FinetuneResult, *, run_id: str, judged_at: str) -> WinningRun:
    """Return what a refit needs of a run that won. Raises ValueError for any other outcome."""
    ranker = ranker_after(result)
    if ranker == "baseline":
        raise ValueError(f"the outcome is {result.judgement.outcome}: only a WIN is retrained")
    return WinningRun(
        run_id=run_id,
        judged_at=judged_at,
        head_sha=result.head_sha,
        pair_set_id=result.pair_set_id,
        recipe_id=result.recipe_id,
        scorer=ranker,
        window_s=result.eval_start - result.train_start,
        steps=tuple(map(_steps, result.runs)),
        metrics=card_of(result),
    )


def _steps(run: SeedRun) -> SeedSteps:
    """Return the steps that were taken, also where the time limit cut them short: those won."""
    return SeedSteps(run.seed, run.refit_steps, max(run.fit.planned_steps, run.refit_steps))


def versions() -> dict[str, str]:
    """Return the versions of the libraries that compute; one that is not installed as a package is left out."""
    known = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return known


def _notes(runs: Sequence[SeedRun], embedded: Embedded) -> list[str]:
    notes = []
    if any(not run.fit.planned_steps for run in runs):
        notes.append(NO_VALIDATION)
    elif any(not run.fit.validations for run in runs):
        notes.append("no validation gave a ρ (equal scores, or no time left), so the last step was taken")
    if embedded.reason:
        notes.append(f"frozen embeddings + ridge: {embedded.reason}")
    return notes
