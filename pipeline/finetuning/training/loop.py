"""The training loop.

    1. plan every step: which functions, in which order (batches.py)
    2. resume from the newest checkpoint, if there is one (checkpoints.py)
    3. for each step: gradient (gradients.py), clip, learning rate, AdamW
    4. at even distances: ρ on the validation slice; the best step is kept
    5. at intervals, and when stopped: a checkpoint
    6. return the trained tensors: of the best step if there is validation, else of the last one

The same seed on the same CPU with the same number of threads gives the same numbers to the last bit, interrupted or
not. GPU kernels sum in any order, and several processes each draw their own dropout: there, runs agree up to rounding.

To choose a number of steps and then train on everything: train with `validate`, then train a fresh ranker with `steps`
set to the best step and `planned` as before. The learning rate follows the same schedule and ends at the same step.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from pipeline.finetuning.batches import plan_steps
from pipeline.finetuning.events import TrainingEvent
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.result import TIME_LIMIT, Curve, Work
from pipeline.finetuning.training.checkpoints import Checkpoints, CurvePoint, TrainState
from pipeline.finetuning.training.device import device_problem, limit_memory
from pipeline.finetuning.training.gradients import Examples, Ranker
from pipeline.finetuning.training.parallel import Alone, Processes
from pipeline.finetuning.training.run import Interrupted, TrainingRun, padding_share
from pipeline.ranking.bootstrap import Floats

COMPLETED = "completed"

R = TypeVar("R", bound=Ranker)


class Stopped(Exception):
    """Training was stopped, with a checkpoint saved. The argument is the reason."""


@dataclass(frozen=True)
class Trained:
    """A finished training run."""

    ended: str  # COMPLETED or TIME_LIMIT
    planned: int  # steps of the learning-rate schedule
    steps_done: int
    best_step: int  # the last one without validation
    best_rho: float | None
    curve: tuple[CurvePoint, ...]
    tokens: int  # without padding
    padding_share: float  # of all tokens computed
    seconds: float
    state: dict[str, Tensor]  # the trained tensors at the best step, on the CPU; the ranker holds the same

    @property
    def tokens_per_second(self) -> float:
        """Return the rate without padding, validation and checkpoints included."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def losses(self) -> Curve:
        return tuple((point.step, point.loss) for point in self.curve)

    @property
    def shortened_by(self) -> str:
        """Return TIME_LIMIT if it was cut short, else an empty string."""
        return "" if self.ended == COMPLETED else TIME_LIMIT

    @property
    def work(self) -> Work:
        share = self.padding_share
        return Work(self.seconds, self.tokens, round(self.tokens * share / (1 - share)) if share < 1 else 0)


def ignore(event: object) -> None:
    """Drop an event."""


def never() -> str | None:
    """Never stop."""
    return None


def raise_if_stopped(
    stop: Callable[[], str | None], clock: Callable[[], float] | None = None, until: float = math.inf
) -> None:
    """Raise Stopped if `stop` returns a reason, or if the clock reads `until` or later."""
    reason = stop() or (TIME_LIMIT if clock is not None and clock() >= until else None)
    if reason:
        raise Stopped(reason)


def train(
    ranker: R,
    sequences: Sequence[Sequence[int]],
    targets: Floats,
    recipe: FinetuneRecipe,
    *,
    seed: int,
    device: str,
    clock: Callable[[], float],
    steps: int | None = None,
    planned: int | None = None,
    validate: Callable[[R], float | None] | None = None,
    checkpoints: Checkpoints | None = None,
    watch: Callable[[TrainingEvent], None] = ignore,
    stop: Callable[[], str | None] = never,
    deadline_s: float | None = None,
    processes: Processes | None = None,
) -> Trained:
    """Train the trainable part of `ranker` on token `sequences` (n) with `targets` (n,) in [0, 1].

    Takes `steps` steps (default: the recipe's epochs) of a learning-rate schedule of `planned` steps (default: as
    many). `clock` reads seconds; at `deadline_s` training ends with what it has. `stop` is polled between
    micro-batches; a reason ends training with a checkpoint and Stopped, which `validate` may raise as well. Seeds
    torch's RNG. Raises AssayError for a loss that is not finite, memory too small for one sequence, a lost GPU, a full
    disk, and checkpoints of another run.
    """
    plan = plan_steps([len(sequence) for sequence in sequences], targets, recipe, seed, steps=steps)
    planned = max(planned or 0, len(plan))
    examples = Examples(sequences, np.asarray(targets, dtype=np.float64))
    name = _fingerprint(examples, recipe, seed, len(plan), planned)
    run = TrainingRun(
        ranker=ranker,
        examples=examples,
        recipe=recipe,
        device=device,
        plan=plan,
        planned=planned,
        state=TrainState(name, step=0, micro_batch_tokens=recipe.micro_batch_tokens),
        checkpoints=checkpoints,
        clock=clock,
        watch=watch,
        stop=stop,
        deadline_s=deadline_s,
        processes=processes or Alone(),
    )
    validated_after = _evenly(len(plan), recipe.validations) if validate else frozenset()
    limit_memory(device, recipe.memory_limit_gb)
    torch.manual_seed(seed)
    run.resume()
    try:
        while True:
            if validate and run.state.step in validated_after:
                run.validate(partial(validate, ranker))
            if run.state.step == len(plan):
                break
            run.save_if_due()
            run.take(plan[run.state.step])
        run.save()
        return _trained(run, COMPLETED)
    except (Interrupted, Stopped) as interrupted:
        run.save()
        if str(interrupted) != TIME_LIMIT:
            raise Stopped(str(interrupted)) from None
        return _trained(run, TIME_LIMIT)
    except RuntimeError as error:
        raise device_problem(error) or error from None


def _trained(run: TrainingRun, ended: str) -> Trained:
    state = run.state
    if state.best_step:
        run.ranker.load_trainable(state.best)
    return Trained(
        ended=ended,
        planned=run.planned,
        steps_done=state.step,
        best_step=state.best_step or state.step,
        best_rho=state.best_rho,
        curve=state.curve,
        tokens=state.tokens,
        padding_share=padding_share(state),
        seconds=run.seconds(),
        state=run.trainable(),
    )


def _evenly(steps: int, validations: int) -> frozenset[int]:
    """Return the steps after which to validate, the last one included."""
    return frozenset(-(-steps * number // validations) for number in range(1, validations + 1))


def _fingerprint(examples: Examples, recipe: FinetuneRecipe, seed: int, steps: int, planned: int) -> str:
    """Return a digest of everything that determines what each step does."""
    digest = hashlib.sha256(repr((recipe.recipe_id(""), seed, steps, planned, len(examples.sequences))).encode())
    for sequence in examples.sequences:
        digest.update(np.asarray([len(sequence), *sequence], dtype="<i8").tobytes())
    digest.update(examples.targets.astype("<f8").tobytes())
    return digest.hexdigest()
