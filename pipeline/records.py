"""The frozen values that pass between the packages of the pipeline. Imports nothing from the project.

Commit -> FileChange -> FunctionTouch -> FunctionHistory -> Density -> Verdict. Times are Unix timestamps in seconds
(UTC, possibly negative), line numbers are 1-based and inclusive, paths and names are text that `printable` made safe
(raw bytes stay inside `mining`), and object ids are 40 hexadecimal digits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

DAY_S = 86_400

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_TIME_S, _MAX_TIME_S = -62_135_596_800, 253_402_300_799  # the years 1 to 9999, which `datetime` is limited to

EvidenceKind = Literal["issue", "label", "prefix", "keyword"]
Curve = Literal["relative", "saturating", "maximum", "share", "presence"]
OutcomeKind = Literal["WIN", "SOFT LOSS", "HARD LOSS", "INCONCLUSIVE"]
Provenance = Literal["published", "measured", "shared"]


class AssayError(Exception):
    """A user's mistake or broken input. The message is one line that says what to do; no traceback is shown."""


def printable(raw: bytes) -> str:
    """Decode a path or name from a repository: UTF-8, other bytes as `\\xNN`, control characters escaped."""
    text = raw.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def iso_time(seconds: int) -> str:
    """Format Unix seconds as `2024-05-01T12:00:00Z`, clamped to the years 1 to 9999."""
    moment = _EPOCH + timedelta(seconds=min(max(seconds, _MIN_TIME_S), _MAX_TIME_S))
    return moment.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Evidence:
    """The strongest evidence that a commit fixes a bug."""

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
    """A function alive at a snapshot, and its fixes in the window that follows.

    The window is (T_train, T_eval] for a snapshot at T_train and (T_eval, as_of] for one at T_eval.
    """

    path: str
    qualified_name: str
    ordinal: int  # 0-based, among functions with the same path and qualified name
    language: str
    start_line: int
    end_line: int
    blob: str
    credit: float  # c, uncapped
    fixes: int  # units (landings) that gave credit
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
    """Commits with fix evidence that gave no credit for one reason, with a few examples."""

    reason: str
    commits: int
    examples: tuple[tuple[str, str], ...]  # (sha, subject)


@dataclass(frozen=True, slots=True)
class ExcludedFolder:
    """A folder whose source files are left out, or that holds files whose names leave them out."""

    path: str  # with the last slash; "./" is the top of the tree
    reason: str  # of most of them
    files: int


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """The files at the head of the history: what is read, and what is left out by its path."""

    read: int  # in a language that is mined, not excluded
    excluded: tuple[tuple[str, int], ...] = ()  # files by reason, most first
    folders: tuple[ExcludedFolder, ...] = ()  # the largest
    unread: tuple[tuple[str, int], ...] = ()  # endings in languages that are not mined (`.swift`), most files first

    @property
    def left_out(self) -> int:
        return sum(files for _, files in self.excluded)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a repository cannot be read, other than too little history or code."""

    title: str  # a few words, such as "a partial clone"
    sentence: str  # what it means, and what to do


@dataclass(frozen=True, slots=True)
class Mined:
    """The result of mining: everything the density is computed from, and what was left out."""

    repo: str
    head_sha: str
    windows: Windows
    commits: int  # reachable from the head
    landings: int  # first-parent commits
    window_commits: int  # commits landing in the training window
    fix_commits: int  # commits landing in the training window that count as fix commits
    train: tuple[FunctionHistory, ...]  # alive at T_train, credit in (T_train, T_eval]
    holdout: tuple[FunctionHistory, ...]  # alive at T_eval, credit in (T_eval, as_of]
    credit_by_kind: tuple[tuple[str, float], ...]  # credit given to pairs, by evidence kind
    fix_files: frozenset[str]  # paths at T_train of files changed by units that gave credit in the training window
    counted: tuple[CountedFix, ...]  # training window, oldest first
    excluded: tuple[ExcludedGroup, ...]  # training window, largest first
    notes: tuple[str, ...]  # limitations to report ("12 objects missing: 9 pairs left out")
    files: SourceFiles | None = None  # None if not counted
    obstacle: Obstacle | None = None


@dataclass(frozen=True, slots=True)
class Density:
    """Mean signal over all pairs, with a 95 % bootstrap interval clustered by file."""

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
    """How many issues closed in the windows carry labels, and how many are bugs."""

    closed: int
    unlabelled: int  # neither a label nor an issue type
    bugs: int


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why the density is what it is."""

    credited: int  # fix commits of the training window that gave credit
    keyword_alone: int  # of those, the ones whose only evidence is a keyword in the subject
    effective_positives: float  # Kish's effective sample size, (Σy)² / Σy²
    inflation: float | None  # factor by which file-level labels would increase the positives
    issues: IssueLabels | None = None  # None if issues were not requested


@dataclass(frozen=True, slots=True)
class OtherDensity:
    """The density of the same functions under the other label recipe, for comparison only."""

    label_recipe: str  # name of the recipe
    label_recipe_id: str
    density: Density | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fine-tuning outcome; a point of the calibration set if conclusive and measurable."""

    repo: str
    density: float
    outcome: OutcomeKind
    provenance: Provenance
    label_recipe_id: str
    decided_at: str = ""  # ISO 8601; only the newest outcome of a repository counts
    base_model_family: str = "published"
    density_low: float | None = None
    density_high: float | None = None
    pairs: int | None = None
    rho_adapter: float | None = None
    rho_baseline: float | None = None
    excluded_because: str = ""  # an operator's reason; an excluded outcome never moves the threshold
    weight: float = 1.0  # below 1 for outcomes shared by others, so that many of them do not dominate


@dataclass(frozen=True, slots=True)
class Threshold:
    """The density that separates RUN from SKIP, with its near-boundary band."""

    value: float
    band_low: float
    band_high: float
    source: str  # "calibration" | "seed" | "borrowed"
    separable: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """RUN or SKIP, with the reasons shown to users."""

    verdict: Literal["RUN", "SKIP"]
    words: str  # "worth trying (RUN)", ...
    measurable: bool
    near_boundary: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """The outcomes behind the threshold, as shown beside every verdict."""

    outcomes: int
    published: int
    measured: int
    leave_one_out: float | None  # share of outcomes that leave-one-out predicts correctly
    winners: tuple[tuple[str, float], ...] = field(default=())
    losers: tuple[tuple[str, float], ...] = field(default=())
    counterexamples: tuple[str, ...] = field(default=())
    shared: int = 0  # by other accounts of this server: counted, never named


@dataclass(frozen=True, slots=True)
class Screening:
    """The complete result of `assay screen`."""

    mined: Mined
    density: Density | None  # None without pairs
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
    evidence_note: str = ""  # why evidence from issues and pull requests is missing or incomplete


@dataclass(frozen=True, slots=True)
class PairMetrics:
    """Structural metrics of a function's code; None where not measured."""

    lines: int
    cyclomatic_complexity: int | None = None
    nesting_depth: int | None = None
    fan_out: int | None = None
    exits: int | None = None  # exits before the end: early returns, breaks, throws
    parameters: int | None = None


@dataclass(frozen=True, slots=True)
class PairRow:
    """One row of the `assay pairs` file: a function at a snapshot and its label."""

    snapshot: Literal["train", "holdout"]  # taken at T_train or T_eval
    path: str
    qualified_name: str
    ordinal: int
    language: str
    start_line: int
    end_line: int
    code: str  # decoded with replacement
    credit: float  # uncapped, from the window after the snapshot: the holdout label
    signal: float | None  # the training label, in [0, 1]; None in the holdout
    touches: int
    fixes: int
    metrics: PairMetrics
    lineage: int | None = None
    split: Literal["train", "holdout"] | None = None
    group: int | None = None
