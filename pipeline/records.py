"""Every frozen value that flows between the rooms of the pipeline. Imports nothing of ours.

Commit -> FileChange -> FunctionTouch -> FunctionHistory -> Density -> Verdict. Times are seconds since 1970
(UTC, may be negative), lines are counted from 1 and inclusive, paths and names are text made printable by
`printable` below (raw bytes stay inside `mining`), object ids are 40 hexadecimal digits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DAY_S = 86_400

EvidenceKind = Literal["issue", "label", "prefix", "keyword"]
Curve = Literal["relative", "saturating", "maximum", "share", "presence"]
OutcomeKind = Literal["WIN", "SOFT LOSS", "HARD LOSS", "INCONCLUSIVE"]
Provenance = Literal["published", "measured", "shared"]


class AssayError(Exception):
    """A user's mistake or a broken input: one line that says what to do, never a traceback."""


def printable(raw: bytes) -> str:
    """Text for a path or name of a repository: UTF-8 where it is, `\\xNN` where it is not; no control characters."""
    text = raw.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a commit counts as a fix: the strongest evidence found."""

    kind: EvidenceKind
    weight: float


@dataclass(frozen=True, slots=True)
class Windows:
    """The training window (train_start, eval_start] and the horizon (eval_start, as_of]."""

    train_start: int  # T_train
    eval_start: int  # T_eval
    as_of: int
    window_days: float  # W
    horizon_days: float  # H
    history_days: float  # A, age of the first-parent chain
    too_little_history: bool
    shortened: bool  # shorter than the default of 730 + 365 days


@dataclass(frozen=True, slots=True)
class FunctionHistory:
    """A function alive at a snapshot and what happened to it in the window that follows the snapshot.

    At T_train the window is (T_train, T_eval], at T_eval it is (T_eval, as_of].
    """

    path: str
    qualified_name: str
    ordinal: int  # among functions of equal path and qualified name, from 0
    language: str
    start_line: int
    end_line: int
    blob: str
    credit: float  # c, not capped
    fixes: int  # units that gave credit
    touches: int  # first-parent landings that changed the function, counted where credit > 0, else 0


@dataclass(frozen=True, slots=True)
class CountedFix:
    """A fix commit that gave credit."""

    sha: str
    landing: str
    landed_at: int
    subject: str
    evidence: Evidence
    functions: tuple[str, ...]  # "path::qualified_name" as touched, before the fix
    credit_each: float  # w / sqrt(m)


@dataclass(frozen=True, slots=True)
class ExcludedGroup:
    """Commits that carried fix evidence and gave no credit, by reason, with a few examples."""

    reason: str
    commits: int
    examples: tuple[tuple[str, str], ...]  # (sha, subject)


@dataclass(frozen=True, slots=True)
class Mined:
    """What mining hands to screening: everything that the density is computed from, and what was left out."""

    repo: str
    head_sha: str
    windows: Windows
    commits: int  # reachable from the head
    landings: int  # first-parent commits
    window_commits: int  # commits landing in the training window
    fix_commits: int  # commits landing in the training window that count as fix commits
    train: tuple[FunctionHistory, ...]  # alive at T_train, credit in (T_train, T_eval]
    holdout: tuple[FunctionHistory, ...]  # alive at T_eval, credit in (T_eval, as_of]
    credit_by_kind: tuple[tuple[str, float], ...]  # credit given to pairs, by kind of evidence
    fix_files: frozenset[str]  # paths at T_train of the files that units giving credit in the training window changed
    counted: tuple[CountedFix, ...]  # training window, oldest first
    excluded: tuple[ExcludedGroup, ...]  # training window, largest first
    notes: tuple[str, ...]  # stated reductions ("12 objects missing: 9 pairs left out")


@dataclass(frozen=True, slots=True)
class Density:
    """Mean signal over all pairs, with a 95 % interval from a bootstrap clustered by file."""

    value: float
    low: float
    high: float
    pairs: int
    positives: int
    positive_share: float
    file_positive_share: float
    scale: float  # S
    curve: Curve


@dataclass(frozen=True, slots=True)
class IssueLabels:
    """Closed issues of the windows, and how many of them say what they were about."""

    closed: int
    unlabelled: int  # neither a label nor an issue type
    bugs: int


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why the density is what it is."""

    credited: int  # fix commits of the training window that gave credit
    keyword_alone: int  # of them, those for which nothing but a word in the subject speaks
    effective_positives: float  # (Σy)² / Σy²: as many equally fix-prone functions would say as much
    inflation: float | None  # how many times as many functions would be positive if labels came from files
    issues: IssueLabels | None = None  # none where nobody asked for them


@dataclass(frozen=True, slots=True)
class OtherDensity:
    """The same functions under another label recipe, for comparison; it decides nothing."""

    label_recipe: str  # its name
    label_recipe_id: str
    density: Density | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fine-tuning outcome: a point of the calibration set once it is conclusive and measurable."""

    repo: str
    density: float
    outcome: OutcomeKind
    provenance: Provenance
    label_recipe_id: str
    decided_at: str = ""  # ISO 8601; the newest of a repository counts
    base_model_family: str = "published"
    density_low: float | None = None
    density_high: float | None = None
    pairs: int | None = None
    rho_adapter: float | None = None
    rho_baseline: float | None = None
    excluded_because: str = ""  # an operator's reason; such an outcome never moves the threshold
    weight: float = 1.0  # beside others; below 1 where it is one of many that somebody else shares


@dataclass(frozen=True, slots=True)
class Threshold:
    value: float
    band_low: float
    band_high: float
    source: str  # "calibration" | "seed" | "borrowed"
    separable: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """RUN or SKIP with everything a person needs to believe it."""

    verdict: Literal["RUN", "SKIP"]
    words: str  # "worth trying (RUN)", ...
    measurable: bool
    near_boundary: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the threshold comes from, as it is shown beside every verdict."""

    outcomes: int
    published: int
    measured: int
    leave_one_out: float | None  # share of outcomes that leave-one-out gets right
    winners: tuple[tuple[str, float], ...] = field(default=())
    losers: tuple[tuple[str, float], ...] = field(default=())
    counterexamples: tuple[str, ...] = field(default=())
    shared: int = 0  # by others of this server; they are counted and never named


@dataclass(frozen=True, slots=True)
class Screening:
    """Everything `assay screen` knows when it is done."""

    mined: Mined
    density: Density | None  # none without a single pair
    evidence: dict[str, float]  # share of credit by evidence kind
    threshold: Threshold
    standing: Standing
    verdict: Verdict
    label_recipe_id: str
    config_hash: str
    seconds: float
    peak_rss_mb: float
    diagnosis: Diagnosis | None = None
    other: OtherDensity | None = None
    evidence_note: str = ""  # why there is no evidence from issues and pull requests, or how far it goes


@dataclass(frozen=True, slots=True)
class PairMetrics:
    """The structure of a function's code; what is not measured yet is none."""

    lines: int
    cyclomatic_complexity: int | None = None
    nesting_depth: int | None = None
    fan_out: int | None = None
    exits: int | None = None  # ways out that are not the end: early returns, breaks, throws
    parameters: int | None = None


@dataclass(frozen=True, slots=True)
class PairRow:
    """One row of the file that `assay pairs` writes: a function at a snapshot and its label."""

    snapshot: Literal["train", "holdout"]  # at T_train, or at T_eval
    path: str
    qualified_name: str
    ordinal: int
    language: str
    start_line: int
    end_line: int
    code: str  # decoded with replacement
    credit: float  # of the window that follows the snapshot, not capped: the label of the holdout
    signal: float | None  # the label of training, in [0, 1]; none in the holdout
    touches: int
    fixes: int
    metrics: PairMetrics
    lineage: int | None = None
    split: Literal["train", "holdout"] | None = None
    group: int | None = None
