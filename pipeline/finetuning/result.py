"""What a fine-tuning job knows when it is done, frozen. No torch here: the App and the reports read it, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.ranking.bootstrap import Floats
from pipeline.ranking.evaluate import Row
from pipeline.ranking.statistics import Comparison
from pipeline.records import OutcomeKind

Curve = tuple[tuple[int, float], ...]  # (step, value)

TIME_LIMIT = "time limit"
NOTHING_COMPARED = Comparison()


@dataclass(frozen=True, slots=True)
class Work:
    """What a stretch of training cost. Padding is no token here."""

    seconds: float = 0.0  # on the device
    tokens: int = 0
    padding: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.seconds + other.seconds, self.tokens + other.tokens, self.padding + other.padding)

    @property
    def padding_share(self) -> float | None:
        """Of all positions that the model was shown."""
        return self.padding / (self.tokens + self.padding) if self.tokens else None

    @property
    def tokens_per_second(self) -> float | None:
        return self.tokens / self.seconds if self.seconds and self.tokens else None


@dataclass(frozen=True, slots=True)
class Fit:
    """The first training of a seed: on early labels, to choose the number of steps by the late ones."""

    planned_steps: int
    steps: int  # chosen; all of them where nothing tells them apart
    losses: Curve
    validations: Curve  # ρ; a validation that gave none is left out
    ended: str = ""  # "time limit" where it was cut short
    work: Work = Work()

    @property
    def validation_rho(self) -> float | None:
        """Of the chosen step."""
        return dict(self.validations).get(self.steps)


@dataclass(frozen=True, eq=False)
class SeedRun:
    """One seed from start to end: fitted, fitted again on all labels, and asked about the holdout."""

    seed: int
    fit: Fit
    refit_steps: int
    refit_losses: Curve
    refit_ended: str
    refit_work: Work
    scores: Floats  # of the held-out functions, in their order
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
    """Every ranking of the same holdout, and what follows for the adapter. Where a value is none, `reason` says why."""

    outcome: OutcomeKind
    reason: str
    rows: tuple[Row, ...]  # baseline first, the adapter second
    n: int
    positives: int
    prevalence: float
    rho_max: float | None
    best_cheap: str | None = None  # the best of those that cost no fine-tuning
    against_best_cheap: Comparison = NOTHING_COMPARED

    def row(self, name: str) -> Row | None:
        return next((row for row in self.rows if row.name == name), None)

    @property
    def beats_best_cheap(self) -> bool | None:
        delta = self.against_best_cheap.delta
        return None if delta is None else delta > 0


@dataclass(frozen=True, slots=True)
class Costs:
    """What a job cost, beside what was expected."""

    training: Work = Work()
    device_seconds: float = 0.0  # training, scoring and embedding
    expected_tokens: int | None = None  # of training
    expected_flops: float | None = None
    expected_minutes: float | None = None
    flops: float | None = None  # of training, as done


@dataclass(frozen=True, eq=False)
class FinetuneResult:
    """The end of a job, with its provenance."""

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
    control: str  # what was done to the labels or the prompt; empty: nothing, and then the outcome counts
    runs: tuple[SeedRun, ...]  # completed ones
    costs: Costs
    adapters: Mapping[int, Mapping[str, str]]  # seed -> file -> SHA-256, 64 hexadecimal digits
    device: str
    versions: Mapping[str, str]
    notes: tuple[str, ...] = ()
    ended: str = ""  # "time limit" where less was done than planned
    scores: Floats | None = field(default=None, repr=False)  # of the adapter, on the held-out functions

    @property
    def counts(self) -> bool:
        """Whether the outcome may move a threshold: that of a control never does."""
        return not self.control and self.judgement.outcome != "INCONCLUSIVE"
