"""The stages of the training loop, and the state between them.

A stage completes or leaves no trace: an interrupted step drops its gradient and restores the RNG state, so that a
checkpoint always describes the last complete step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from pipeline.finetuning.batches import Members, micro_batches, padded_tokens
from pipeline.finetuning.events import (
    CheckpointSaved,
    MicroBatchHalved,
    Resumed,
    TrainingEvent,
    TrainingStep,
    Validated,
)
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.result import TIME_LIMIT
from pipeline.finetuning.training.checkpoints import Checkpoints, CurvePoint, TrainState, refuse_foreign
from pipeline.finetuning.training.device import (
    free_memory,
    is_out_of_memory,
    peak_memory_mb,
    random_state,
    restore_random_state,
)
from pipeline.finetuning.training.gradients import Examples, Ranker, loss_and_gradients, total_gradients
from pipeline.finetuning.training.optimizer import Optimizer
from pipeline.finetuning.training.parallel import Processes
from pipeline.records import AssayError


class Interrupted(Exception):
    """A step was interrupted and left no trace. The argument is the reason."""


@dataclass(kw_only=True)
class TrainingRun:
    """The inputs of one training run (loop.py), and in `state` its progress."""

    ranker: Ranker
    examples: Examples
    recipe: FinetuneRecipe
    device: str
    plan: tuple[Members, ...]
    planned: int
    state: TrainState
    checkpoints: Checkpoints | None
    clock: Callable[[], float]
    watch: Callable[[TrainingEvent], None]
    stop: Callable[[], str | None]
    deadline_s: float | None
    processes: Processes

    def __post_init__(self) -> None:
        self.optimizer = Optimizer(self.ranker.parameter_groups(self.recipe), self.recipe, self.planned)
        self.lengths = [len(sequence) for sequence in self.examples.sequences]
        self.saved_step, self.saved_at, self.save_cost_s = 0, self.clock(), 0.0
        self.began = self.clock()
        self.seconds_before = 0.0  # in earlier processes

    def resume(self) -> None:
        """Continue from the newest checkpoint, if there is one."""
        self.ranker.train()
        saved = self.checkpoints.latest() if self.checkpoints else None
        if saved is None:
            return
        refuse_foreign(saved, self.state.run)
        self.ranker.load_trainable(saved.trainable)
        self.optimizer.load(saved.optimizer)
        restore_random_state(self.device, saved.random)
        max_tokens = min(saved.micro_batch_tokens, self.recipe.micro_batch_tokens)
        self.state = replace(saved, trainable={}, optimizer={}, random={}, micro_batch_tokens=max_tokens)
        self.saved_step, self.seconds_before = saved.step, saved.seconds
        self._report(Resumed(saved.step))

    def take(self, members: Members) -> None:
        """Take one optimizer step. Raises Interrupted or AssayError, leaving no trace of the step."""
        if self.processes.shares > 1:  # a single process checks before each micro-batch
            self._check_stop()
        step = self.state.step + 1
        loss, pieces = self._gradient(members)
        total_gradients(self.optimizer.parameters, self.processes)
        norm = self.optimizer.clip()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise AssayError(
                f"training diverged at step {step} (loss {loss:g}, gradient norm {norm:g}): lower learning_rate, "
                f"which is {self.recipe.learning_rate:g}; the last good checkpoint is kept"
            )
        learning_rate = self.optimizer.update(step)
        tokens = self.state.tokens + sum(self.lengths[member] for member in members)
        point = CurvePoint(step, loss, norm, learning_rate, None, tokens, self.seconds())
        self.state = replace(
            self.state,
            step=step,
            curve=(*self.state.curve, point),
            tokens=tokens,
            padded_tokens=self.state.padded_tokens + _computed(pieces, self.lengths),
        )
        self._report_step(point)

    def _gradient(self, members: Members) -> tuple[float, tuple[Members, ...]]:
        """Return loss and micro-batches of a step, halving micro-batches until they fit in memory."""
        while True:
            max_tokens = self.state.micro_batch_tokens
            pieces = micro_batches(members, self.lengths, max_tokens)
            computed = _computed(pieces, self.lengths)
            rng_state = random_state(self.device)
            try:
                loss = loss_and_gradients(
                    self.ranker,
                    pieces,
                    self.examples,
                    self.recipe,
                    device=self.device,
                    keep_activations=computed <= max_tokens,
                    between=self._check_stop if self.processes.shares == 1 else _do_nothing,
                    processes=self.processes,
                )
                return loss, pieces
            except (Interrupted, RuntimeError) as error:
                if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                    raise
                self.optimizer.clear_gradients()
                restore_random_state(self.device, rng_state)
                if isinstance(error, Interrupted):
                    raise
            # Only here, since the error kept the tensors of the step alive.
            self._halve(pieces, min(computed, max_tokens))

    def _halve(self, pieces: tuple[Members, ...], tokens: int) -> None:
        free_memory(self.device)
        if self.processes.shares > 1 or max(map(len, pieces)) == 1:
            setting = "micro_batch_tokens" if self.processes.shares > 1 else "max_tokens"
            raise AssayError(
                f"out of memory at step {self.state.step + 1}: lower {setting}, set gradient_checkpointing, or choose "
                "a smaller base_model"
            )
        self.state = replace(self.state, micro_batch_tokens=max(1, tokens // 2))
        self._report(MicroBatchHalved(self.state.micro_batch_tokens))

    def validate(self, validate: Callable[[], float | None]) -> None:
        """Validate after this step, unless that was done, and keep the ranker if it is the best so far."""
        if self.state.validated_step == self.state.step:
            return
        rng_state = random_state(self.device)
        self.ranker.train(False)
        try:
            rho = self.processes.agree(validate())
        finally:  # validation may be stopped as well
            self.ranker.train()
            restore_random_state(self.device, rng_state)
        state, rho = self.state, None if rho is None or math.isnan(rho) else float(rho)
        curve = (*state.curve[:-1], replace(state.curve[-1], rho=rho))
        self.state = replace(state, curve=curve, validated_step=state.step)
        if rho is not None and (state.best_rho is None or rho > state.best_rho):
            self.state = replace(self.state, best=self.trainable(), best_step=state.step, best_rho=rho)
        self._report(Validated(state.step, rho))

    def save_if_due(self) -> None:
        done, since = self.state.step - self.saved_step, self.clock() - self.saved_at
        if self.checkpoints and self.checkpoints.is_due(done, since, self.save_cost_s):
            self.save()

    def save(self) -> None:
        """Save a checkpoint of the last complete step, unless there is one."""
        if not self.checkpoints or self.state.step == self.saved_step:
            return
        began = self.clock()
        if self.processes.share == 0:
            state = replace(
                self.state,
                trainable=self.trainable(),
                optimizer=self.optimizer.tensors(),
                random=random_state(self.device),
                seconds=self.seconds(),
            )
            saved = self.checkpoints.save(state)
            self._report(CheckpointSaved(saved.step, saved.manifest, saved.sha256))
        self.saved_step, self.saved_at = self.state.step, self.clock()
        self.save_cost_s = self.saved_at - began

    def _check_stop(self) -> None:
        reason = self.stop()
        if not reason and self.deadline_s is not None and self.clock() >= self.deadline_s:
            reason = TIME_LIMIT
        reason = self.processes.agree(reason)
        if reason:
            raise Interrupted(reason)

    def trainable(self) -> dict[str, Tensor]:
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in self.ranker.trainable().items()}

    def seconds(self) -> float:
        return self.seconds_before + self.clock() - self.began

    def _report_step(self, point: CurvePoint) -> None:
        self._report(
            TrainingStep(
                step=point.step,
                steps=len(self.plan),
                loss=point.loss,
                gradient_norm=point.gradient_norm,
                learning_rate=point.learning_rate,
                tokens=point.tokens,
                seconds=point.seconds,
                padding_share=padding_share(self.state),
                memory_mb=peak_memory_mb(self.device),
            )
        )

    def _report(self, event: TrainingEvent) -> None:
        if self.processes.share == 0:
            self.watch(event)


def _do_nothing() -> None:
    """Several processes agree to stop between steps only."""


def _computed(pieces: Sequence[Members], lengths: Sequence[int]) -> int:
    return sum(padded_tokens(piece, lengths) for piece in pieces)


def padding_share(state: TrainState) -> float:
    return 1 - state.tokens / state.padded_tokens if state.padded_tokens else 0.0
