"""The whole job: from a pair set to adapters and what they are worth.

    1. check that there is enough to learn from; load the model; say what it will cost at most
    2. for each seed: fit on early labels and choose the number of steps by ρ on the late ones, begin anew and fit on
       all labels for as many steps, score the holdout                                       seed_job.py, training.py
    3. ask the untouched base model the same (frozen embeddings + ridge)                          embeddings.py
    4. compare the rank average over the seeds with every other ranking, name the outcome          judgement.py
    5. write adapters, curves and result.json, the last one last                          job_folder.py, adapter.py

What is done is remembered after each part, so that a job that was killed goes on where it was; nothing but its working
files is in the folder before 5. The first seed is given all the time there is, half of it to choose its steps; another
one is begun only if there is time for all of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.finetuning.adapter import save_adapter
from pipeline.finetuning.cost import Rate, estimate
from pipeline.finetuning.job_events import EmbeddingStarted, JobEvent, Planned, SeedCompleted
from pipeline.finetuning.job_folder import adapter_folder, publish, remove_leftovers, remove_work, working_folder
from pipeline.finetuning.job_state import Embedded, JobState, open_state
from pipeline.finetuning.pair_set import PairSet
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.result import FinetuneResult, SeedRun
from pipeline.finetuning.result_assembly import assemble, card_of, provenance_of
from pipeline.finetuning.training.embeddings import FrozenEmbeddings
from pipeline.finetuning.training.loaded import Loaded, Sequences, device_name, expected_rate, load, size_of
from pipeline.finetuning.training.loop import Stopped, never
from pipeline.finetuning.training.seed import MOST_VALIDATED, SeedJob, targets_of
from pipeline.finetuning.training.train_seed import SeedTraining
from pipeline.records import AssayError

FEWEST_TRAINED_ON, FEWEST_POSITIVES = 100, 10

_FIT_SHARE = 0.5  # of the first seed's time: to choose the steps; as many are done again on all labels
_SPARE = 1.1  # what the next part may take, by what the last one took

Files = Callable[[FinetuneResult], Mapping[str, bytes]]


def ignore(event: JobEvent) -> None:
    """Nobody watches."""


def require_enough(pairs: PairSet) -> None:
    """Raises AssayError where there is too little to learn from. Too small a holdout is told by the outcome."""
    positives = int((pairs.signals > 0).sum())
    if len(pairs.train) < FEWEST_TRAINED_ON:
        raise AssayError(
            f"too few pairs: {len(pairs.train):,} functions to train on, at least {FEWEST_TRAINED_ON} are needed; name "
            "a repository with more code at the start of its training window"
        )
    if positives < FEWEST_POSITIVES:
        raise AssayError(
            f"too few pairs: {positives:,} of {len(pairs.train):,} functions to train on were fixed, at least "
            f"{FEWEST_POSITIVES} are needed; messages that name what they fix (`fix: ...`) are what is counted"
        )


def plan(
    pairs: PairSet, recipe: FinetuneRecipe, device: str, *, clock: Callable[[], float] = time.monotonic
) -> Planned:
    """What the job would cost at most. Raises AssayError as `finetune` does before it trains."""
    require_enough(pairs)
    loaded = load(recipe, pairs.train, pairs.holdout, device)
    return planned_of(loaded, recipe, expected_rate(loaded, recipe, clock))


def finetune(
    pairs: PairSet,
    recipe: FinetuneRecipe,
    *,
    out: Path,
    device: str,
    files: Files,
    watch: Callable[[JobEvent], None] = ignore,
    stop: Callable[[], str | None] = never,
    clock: Callable[[], float] = time.monotonic,
    checkpoints: str = "",
    checkpoint_every_steps: int | None = None,
    known_checkpoints: Collection[str] | None = None,
) -> FinetuneResult:
    """Train, judge, and write everything to `out`: a folder that is new, or of an unfinished job of the same ids.

    `files` renders what stands beside the adapters, `result.json` among it. `stop` is asked often; its answer ends the
    job with Stopped after a checkpoint. `checkpoints` is a folder or fsspec URL to resume from elsewhere, by default
    it is within `out`; with `known_checkpoints` (hashes from CheckpointSaved) no other is taken. Raises AssayError,
    naming the setting to change, with nothing but working files in `out`.
    """
    require_enough(pairs)
    recipe_id = recipe.recipe_id(pairs.label_recipe_id)
    with working_folder(out) as work:
        state = open_state(str(work), checkpoints, pair_set_id=pairs.id, recipe_id=recipe_id)
        job = _Job(
            pairs=pairs,
            recipe=recipe,
            device=device,
            state=state,
            watch=watch,
            stop=stop,
            clock=clock,
            checkpoint_every_steps=checkpoint_every_steps,
            known_checkpoints=known_checkpoints,
            until=clock() + recipe.max_minutes * 60 - state.seconds_spent(recipe.seeds),
        )
        result = _write(out, job.result(), state, files)
    if checkpoints:
        state.forget()
    return result


def _write(out: Path, result: FinetuneResult, state: JobState, files: Files) -> FinetuneResult:
    """Adapters first, because their hashes are in the result."""
    remove_leftovers(out)
    card = card_of(result)
    adapters = {
        run.seed: save_adapter(
            out / adapter_folder(run.seed),
            state.adapter(run.seed),
            result.recipe,
            provenance_of(result, run.seed),
            card,
        )
        for run in result.runs
    }
    result = replace(result, adapters=adapters)
    publish(out, files(result))
    remove_work(out)
    return result


@dataclass(frozen=True, kw_only=True)
class _Job:
    pairs: PairSet
    recipe: FinetuneRecipe
    device: str
    state: JobState
    watch: Callable[[JobEvent], None]
    stop: Callable[[], str | None]
    clock: Callable[[], float]
    checkpoint_every_steps: int | None
    known_checkpoints: Collection[str] | None
    until: float  # reading of the clock at which the time is up

    def result(self) -> FinetuneResult:
        loaded = load(self.recipe, self.pairs.train, self.pairs.holdout, self.device)
        rate = expected_rate(loaded, self.recipe, self.clock)
        planned = planned_of(loaded, self.recipe, rate)
        self.watch(planned)
        lengths = [len(sequence) for sequence in loaded.train]
        size = size_of(loaded.ranker)
        runs = self._runs(loaded, _forward_seconds(loaded, rate))
        embedded = self._embedded(loaded, _embedding_seconds(loaded, rate))
        return assemble(
            self.pairs,
            self.recipe,
            runs,
            embedded,
            planned,
            flops_a_token=size.training_flops(lengths) / sum(lengths),
            notes=() if loaded.ranker.attention == "sdpa" else (f"attention: {loaded.ranker.attention}",),
        )

    def _runs(self, loaded: Loaded, reserved_s: float) -> list[SeedRun]:
        """Every seed that is completed in time, the first one at any rate."""
        training = SeedTraining(
            loaded=loaded,
            recipe=self.recipe,
            seeds=len(self.recipe.seeds),
            state=self.state,
            watch=self.watch,
            stop=self.stop,
            clock=self.clock,
            checkpoint_every_steps=self.checkpoint_every_steps,
            known_checkpoints=self.known_checkpoints,
        )
        job = SeedJob(training=training, pairs=self.pairs)
        runs: list[SeedRun] = []
        for number, seed in enumerate(self.recipe.seeds, 1):
            run = self.state.run(seed)
            earlier = run is not None
            if run is None:
                now = self.clock()
                left = self.until - now
                until = self.until - min(reserved_s, left / 3)
                if runs and until - now < _SPARE * max(run.seconds for run in runs):
                    break
                fit_until = now + _FIT_SHARE * (until - now)
                run = job.run(seed, number, fit_until=fit_until, until=until, all_or_nothing=bool(runs))
            if run is None:
                break
            runs.append(run)
            self.watch(SeedCompleted(seed, number, len(self.recipe.seeds), earlier))
        return runs

    def _embedded(self, loaded: Loaded, expected_s: float) -> Embedded:
        """What the untouched model knows, where there is time to ask."""
        known = self.state.embedded()
        if known is not None:
            return known
        self._raise_if_stopped()
        if self.clock() + _SPARE * expected_s > self.until:
            return Embedded(None, 0.0, "not measured, the time was up")
        self.watch(EmbeddingStarted(len(loaded.train) + len(loaded.holdout)))
        began = self.clock()
        ridge = FrozenEmbeddings(
            loaded.ranker,
            micro_batch_tokens=self.recipe.micro_batch_tokens,
            device=self.device,
            watch=lambda done: self._raise_if_stopped(),
        )
        ridge.fit(loaded.train, targets_of(self.pairs, self.recipe, self.recipe.seeds[0]).signals)
        embedded = Embedded(ridge.predict(loaded.holdout), self.clock() - began)
        self.state.keep_embedded(embedded)
        return embedded

    def _raise_if_stopped(self) -> None:
        reason = self.stop()
        if reason:
            raise Stopped(reason)


def planned_of(loaded: Loaded, recipe: FinetuneRecipe, rate: Rate | None) -> Planned:
    """What the job costs at most, with all of its steps."""
    train, holdout = ([len(sequence) for sequence in sequences] for sequences in (loaded.train, loaded.holdout))
    expected = estimate(train, holdout, recipe, size_of(loaded.ranker), rate, validated_lengths=train[:MOST_VALIDATED])
    return Planned(
        tokens=expected.trained_tokens,
        flops=expected.flops,
        minutes=expected.minutes,
        device=device_name(loaded.device),
        trained_on=len(train),
        held_out=len(holdout),
        seeds=len(recipe.seeds),
    )


def _forward_seconds(loaded: Loaded, rate: Rate | None) -> float:
    """What scoring the holdout and embedding everything may take."""
    return _seconds(loaded, [*loaded.holdout, *loaded.holdout, *loaded.train], rate)


def _embedding_seconds(loaded: Loaded, rate: Rate | None) -> float:
    return _seconds(loaded, [*loaded.holdout, *loaded.train], rate)


def _seconds(loaded: Loaded, sequences: Sequences, rate: Rate | None) -> float:
    if rate is None:
        return 0.0
    return size_of(loaded.ranker).forward_flops([len(sequence) for sequence in sequences]) / rate.flops_per_s
