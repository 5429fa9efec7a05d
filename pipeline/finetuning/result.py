"""The results of a run and of a refit, frozen. Nothing here needs torch: the App and the reports read them too.

A winning adapter learned labels up to T_eval, a year ago. Before it ranks anything, a refit trains the same recipe on
the latest window. The refit is never evaluated itself; it relies on the run that won.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.finetuning.model_card import CardMetrics
from pipeline.finetuning.ranker import TunedRankerName
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.evaluate import Row
from pipeline.ranking.statistics import Comparison
from pipeline.records import OutcomeKind

Curve = tuple[tuple[int, float], ...]  # (step, value)
Hashes = Mapping[str, str]  # file -> SHA-256, 64 hexadecimal digits

TIME_LIMIT = "time limit"
NOTHING_COMPARED = Comparison()


@dataclass(frozen=True, slots=True)
class Work:
    """The cost of a stretch of training; padding does not count as tokens."""

    seconds: float = 0.0  # on the device
    tokens: int = 0
    padding: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.seconds + other.seconds, self.tokens + other.tokens, self.padding + other.padding)

    @property
    def padding_share(self) -> float | None:
        """Return the padding as a share of all positions computed."""
        return self.padding / (self.tokens + self.padding) if self.tokens else None

    @property
    def tokens_per_second(self) -> float | None:
        return self.tokens / self.seconds if self.seconds and self.tokens else None


@dataclass(frozen=True, slots=True)
class Fit:
    """The first training of a seed: on early labels, to choose the number of steps by the late ones."""

    planned_steps: int
    steps: int  # chosen; all of them where validation cannot tell them apart
    losses: Curve
    validations: Curve  # ρ, without the validations that gave none
    ended: str = ""  # TIME_LIMIT if it was cut short
    work: Work = Work()

    @property
    def validation_rho(self) -> float | None:
        """Return ρ at the chosen step."""
        return dict(self.validations).get(self.steps)


@dataclass(frozen=True, eq=False)
class SeedRun:
    """A completed seed: the fit that chose the steps, the training on all labels, and the scores."""

    seed: int
    fit: Fit
    refit_steps: int  # of the training on all labels
    refit_losses: Curve
    refit_ended: str
    refit_work: Work
    scores: Floats  # (n,) of the held-out functions or of those of the head, in their order
    scoring_seconds: float

    @property
    def shortened(self) -> bool:
        return bool(self.fit.ended or self.refit_ended)

    @property
    def training(self) -> Work:
        return self.fit.work + self.refit_work

    @property
    def seconds(self) -> float:
        return self.training.seconds + self.scoring_seconds


@dataclass(frozen=True, eq=False)
class Judgement:
    """Every ranking of the same holdout and the outcome for the adapter. `reason` explains values that are None."""

    outcome: OutcomeKind
    reason: str
    rows: tuple[Row, ...]  # baseline first, adapter second
    n: int
    positives: int
    prevalence: float
    rho_max: float | None
    best_cheap: str | None = None  # the best ranking that needs no fine-tuning
    against_best_cheap: Comparison = NOTHING_COMPARED

    def row(self, name: str) -> Row | None:
        return next((row for row in self.rows if row.name == name), None)

    @property
    def beats_best_cheap(self) -> bool | None:
        delta = self.against_best_cheap.delta
        return None if delta is None else delta > 0


@dataclass(frozen=True, slots=True)
class Costs:
    """The cost of a run beside its estimate."""

    training: Work = Work()
    device_seconds: float = 0.0  # training, scoring and embedding
    expected_tokens: int | None = None  # of training
    expected_flops: float | None = None
    expected_minutes: float | None = None
    flops: float | None = None  # of the training that was done


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """The result of a run, with its provenance."""

    repo: str
    head_sha: str
    train_start: int
    eval_start: int
    as_of: int
    config_hash: str
    label_recipe_id: str
    recipe: FinetuneRecipe
    recipe_id: str
    pair_set_id: str
    trained_on: int  # functions
    training_positives: int
    judgement: Judgement
    control: str  # what was done to the labels or the prompt; empty: nothing, and the outcome counts
    runs: tuple[SeedRun, ...]  # completed ones
    costs: Costs
    adapters: Mapping[int, Hashes]  # by seed
    device: str
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()
    ended: str = ""  # TIME_LIMIT if less was trained than planned
    scores: Floats | None = field(default=None, repr=False)  # of the adapter, on the held-out functions

    @property
    def counts(self) -> bool:
        """Return whether the outcome may move a threshold; that of a control never does."""
        return not self.control and self.judgement.outcome != "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class SeedSteps:
    """The length of a seed's training on all labels in the run that won."""

    seed: int
    steps: int
    planned: int  # length of the learning-rate schedule


# The field names of the records below are keys of stored JSON.


@dataclass(frozen=True)
class WinningRun:
    """The part of a winning run that a refit repeats and reports."""

    run_id: str  # its name in the store
    judged_at: str  # ISO 8601
    head_sha: str
    pair_set_id: str
    recipe_id: str
    scorer: TunedRankerName  # the better ranking
    window_s: int  # T_eval - T_train
    steps: tuple[SeedSteps, ...]  # of the completed seeds
    metrics: CardMetrics


@dataclass(frozen=True, slots=True)
class SavedAdapter:
    """The files of one seed's adapter."""

    seed: int
    files: Hashes


@dataclass(frozen=True)
class RefitRecord:
    """The stored record of a refit. Times in seconds since 1970."""

    repo: str
    head_sha: str
    train_start: int  # T_train' of the latest window
    as_of: int
    config_hash: str
    label_recipe_id: str
    recipe: FinetuneRecipe
    recipe_id: str
    ranking_set_id: str
    judged: WinningRun
    trained_on: int  # functions
    training_positives: int
    ranked: int  # functions of the head
    adapters: tuple[SavedAdapter, ...]
    seconds: float  # on the device: training and scoring
    tokens: int  # of training, without padding
    device: str
    versions: Mapping[str, str]
    ended: str = ""  # TIME_LIMIT if a seed of the winning run is missing

    @property
    def hashes(self) -> Mapping[int, Hashes]:
        """Return the recorded hashes by seed."""
        return {adapter.seed: adapter.files for adapter in self.adapters}


@dataclass(frozen=True, eq=False)
class RefitResult:
    """The result of a refit."""

    record: RefitRecord
    scores: Floats  # (n,) of the functions of the head: rank average over the seeds, higher is riskier
