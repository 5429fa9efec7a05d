"""A run: train adapters on a pair set and compare them with every other ranking of its holdout.

1. check that there is enough to learn from
2. for each seed: fit on early labels, choose the number of steps by ρ on the late ones, train from scratch on all
   labels for as many steps, score the holdout                                    job.py, choose_steps.py
3. score the holdout with the untouched base model (frozen embeddings + ridge)              embeddings.py
4. compare the rank average over the seeds with every other ranking, decide the outcome     comparison.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from pipeline.finetuning.cost import Rate, estimate
from pipeline.finetuning.events import EmbeddingStarted, Phase, Planned
from pipeline.finetuning.job_state import Embedded
from pipeline.finetuning.model_card import CardMetrics, Provenance
from pipeline.finetuning.pair_set import PairSet
from pipeline.finetuning.prompts import Prompted
from pipeline.finetuning.recipe import MAX_VALIDATED, MIN_POSITIVES, MIN_TRAINED_ON, FinetuneRecipe
from pipeline.finetuning.result import FinetuneResult, Fit, Hashes, SeedRun
from pipeline.finetuning.result_assembly import assemble_result, card_of, provenance_of
from pipeline.finetuning.training.choose_steps import choose_steps, targets_of
from pipeline.finetuning.training.device import device_name
from pipeline.finetuning.training.embeddings import FrozenEmbeddings
from pipeline.finetuning.training.job import MARGIN, Job, JobOptions, SeedTraining, run_job
from pipeline.finetuning.training.load_model import LoadedModel, Sequences, expected_rate, load_model, size_of
from pipeline.finetuning.training.loop import raise_if_stopped
from pipeline.ranking.bootstrap import Floats
from pipeline.records import AssayError

Files = Callable[[FinetuneResult], Mapping[str, bytes]]


def require_enough(pairs: PairSet) -> None:
    """Raise AssayError if there is too little to learn from. A holdout that is too small shows in the outcome."""
    if len(pairs.train) < MIN_TRAINED_ON:
        raise AssayError(
            f"too few pairs: {len(pairs.train):,} functions to train on, at least {MIN_TRAINED_ON} are needed; name "
            "a repository with more code at the start of its training window"
        )
    if pairs.positives < MIN_POSITIVES:
        raise AssayError(
            f"too few pairs: {pairs.positives:,} of {len(pairs.train):,} functions to train on were fixed, at least "
            f"{MIN_POSITIVES} are needed; only commits whose message says what they fix (`fix: ...`) count"
        )


def plan(
    pairs: PairSet, recipe: FinetuneRecipe, device: str, *, clock: Callable[[], float] = time.monotonic
) -> Planned:
    """Return the most that a run can cost. Raises AssayError as `finetune` does before it trains."""
    require_enough(pairs)
    job = _Run(data=pairs, recipe=recipe)
    loaded = load_model(recipe, pairs.train, pairs.holdout, device)
    return job.plan(loaded, expected_rate(loaded, recipe, clock))


def finetune(pairs: PairSet, recipe: FinetuneRecipe, options: JobOptions, files: Files) -> FinetuneResult:
    """Train, compare, and write everything to `options.out`; `files` renders `result.json` and what goes with it.

    Raises Stopped with a checkpoint saved, and AssayError, naming the setting to change, with only working files in
    `options.out`.
    """
    require_enough(pairs)
    return run_job(_Run(data=pairs, recipe=recipe), options, files)


@dataclass(frozen=True, kw_only=True)
class _Run(Job[FinetuneResult]):
    data: PairSet

    scoring: ClassVar[Phase] = "scoring the holdout"
    whole_seeds_only: ClassVar[bool] = False

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.recipe.seeds

    @property
    def scored(self) -> Sequence[Prompted]:
        return self.data.holdout

    def plan(self, loaded: LoadedModel, rate: Rate | None) -> Planned:
        """Return the cost of all planned steps."""
        train, holdout = ([len(sequence) for sequence in sequences] for sequences in (loaded.train, loaded.scored))
        expected = estimate(
            train, holdout, self.recipe, size_of(loaded.ranker), rate, validated_lengths=train[:MAX_VALIDATED]
        )
        return Planned(
            tokens=expected.trained_tokens,
            flops=expected.flops,
            minutes=expected.minutes,
            device=device_name(loaded.device),
            trained_on=len(train),
            scored=len(holdout),
            seeds=len(self.seeds),
        )

    def reserved_s(self, loaded: LoadedModel, rate: Rate | None) -> float:
        """Return the time to score the holdout and to embed everything."""
        return _forward_s(loaded, [*loaded.scored, *loaded.scored, *loaded.train], rate)

    def signals(self, seed: int) -> Floats:
        return targets_of(self.data, self.recipe, seed).signals

    def choose_steps(self, training: SeedTraining, seed: int, known: Fit | None, until: float) -> Fit:
        return known or choose_steps(training, targets_of(self.data, self.recipe, seed), seed, until)

    def result(
        self, training: SeedTraining, runs: Sequence[SeedRun], planned: Planned, rate: Rate | None, until: float
    ) -> FinetuneResult:
        ranker = training.loaded.ranker
        lengths = [len(sequence) for sequence in training.loaded.train]
        return assemble_result(
            self.data,
            self.recipe,
            runs,
            self._embedded(training, rate, until),
            planned,
            flops_per_token=size_of(ranker).training_flops(lengths) / sum(lengths),
            notes=() if ranker.attention == "sdpa" else (f"attention: {ranker.attention}",),
        )

    def _embedded(self, training: SeedTraining, rate: Rate | None, until: float) -> Embedded:
        """Return what the untouched base model scores, if there is time."""
        state, options, loaded = training.state, training.options, training.loaded
        known = state.embedded()
        if known is not None:
            return known
        raise_if_stopped(options.stop)
        if options.clock() + MARGIN * _forward_s(loaded, [*loaded.scored, *loaded.train], rate) > until:
            return Embedded(None, 0.0, "not measured, the time was up")
        options.watch(EmbeddingStarted(len(loaded.train) + len(loaded.scored)))
        began = options.clock()
        ridge = FrozenEmbeddings(
            loaded.ranker,
            micro_batch_tokens=self.recipe.micro_batch_tokens,
            device=loaded.device,
            watch=lambda done: raise_if_stopped(options.stop),
        )
        ridge.fit(loaded.train, self.signals(self.seeds[0]))
        embedded = Embedded(ridge.predict(loaded.scored), options.clock() - began)
        state.keep_embedded(embedded)
        return embedded

    def with_adapters(self, result: FinetuneResult, adapters: Mapping[int, Hashes]) -> FinetuneResult:
        return replace(result, adapters=adapters)

    def card(self, result: FinetuneResult) -> CardMetrics:
        return card_of(result)

    def provenance(self, seed: int) -> Provenance:
        return provenance_of(self.data, seed)


def _forward_s(loaded: LoadedModel, sequences: Sequences, rate: Rate | None) -> float:
    """Return the seconds that one pass over the sequences takes; 0 for a device of unknown speed."""
    if rate is None:
        return 0.0
    return size_of(loaded.ranker).forward_flops([len(sequence) for sequence in sequences]) / rate.flops_per_s
