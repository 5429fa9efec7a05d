"""What was done in the parts of a job -> its result, the card of its adapters, and what has to be said beside. Pure."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata

from pipeline.finetuning.comparison import ADAPTER, judge
from pipeline.finetuning.job_events import Planned
from pipeline.finetuning.job_state import Embedded
from pipeline.finetuning.model_card import CardMetrics, CardScore, Provenance
from pipeline.finetuning.pair_set import PairSet
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.result import TIME_LIMIT, Costs, FinetuneResult, SeedRun, Work
from pipeline.ranking.statistics import Comparison

_VERSIONED = ("assay", "torch", "transformers", "peft", "safetensors", "numpy", "scikit-learn")

NO_VALIDATION = (
    "no function of the train groups was fixed in the last quarter of the training window (or none before it): nothing "
    "to choose the number of steps by, so all planned ones were taken"
)


def control_of(recipe: FinetuneRecipe) -> str:
    """What was spoilt on purpose, in words; empty where nothing was."""
    spoilt = ["shuffled labels"] if recipe.shuffled_labels else []
    if recipe.ablation != "none":
        spoilt.append(f"{recipe.ablation} masked")
    return ", ".join(spoilt)


def assemble(
    pairs: PairSet,
    recipe: FinetuneRecipe,
    runs: Sequence[SeedRun],
    embedded: Embedded,
    planned: Planned,
    *,
    flops_a_token: float,
    notes: Sequence[str] = (),
) -> FinetuneResult:
    """The result of a job whose adapters are not written yet."""
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
        training_positives=int((pairs.signals > 0).sum()),
        judgement=judgement,
        control=control,
        runs=tuple(runs),
        costs=costs_of(runs, embedded, planned, flops_a_token),
        adapters={},
        device=planned.device,
        versions=versions(),
        notes=(*_notes(runs, embedded), *notes),
        ended=TIME_LIMIT if len(runs) < len(recipe.seeds) or any(run.shortened for run in runs) else "",
        scores=None if adapter is None else adapter.scores,
    )


def costs_of(runs: Sequence[SeedRun], embedded: Embedded, planned: Planned, flops_a_token: float) -> Costs:
    training = sum((run.training for run in runs), Work())
    return Costs(
        training=training,
        device_seconds=training.seconds + sum(run.scoring_seconds for run in runs) + embedded.seconds,
        expected_tokens=planned.tokens,
        expected_flops=planned.flops,
        expected_minutes=planned.minutes,
        flops=flops_a_token * training.tokens,
    )


def provenance_of(result: FinetuneResult, seed: int) -> Provenance:
    return Provenance(
        repo=result.repo,
        head_sha=result.head_sha,
        pair_set_id=result.pair_set_id,
        label_recipe_id=result.label_recipe_id,
        seed=seed,
        trained_on=result.trained_on,
        config_hash=result.config_hash,
        versions=result.versions,
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


def versions() -> Mapping[str, str]:
    """Of what computes; a library that is not installed as a package is left out."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _notes(runs: Sequence[SeedRun], embedded: Embedded) -> list[str]:
    notes = []
    if any(not run.fit.planned_steps for run in runs):
        notes.append(NO_VALIDATION)
    elif any(not run.fit.validations for run in runs):
        notes.append("a validation gave no ρ, so the last step was taken: all scores were equal, or there was no time")
    if embedded.reason:
        notes.append(f"frozen embeddings + ridge: {embedded.reason}")
    return notes
