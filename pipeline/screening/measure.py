"""Measure a repository: mine it, compute the density and explain it."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.calibration.seed_records import CURVES, SAMPLE_SIZE, SAMPLES, SeedMeasurement, iso_day
from pipeline.classify.overlay import NO_OVERLAY, Overlay
from pipeline.git.repository import Repository
from pipeline.label_recipe import BOOTSTRAP_SEED, HOLDOUT_SHARE, LabelRecipe, by_messages, with_tracker
from pipeline.mining.issue_links import IssueFact, Tracked, Tracker
from pipeline.mining.miner import Miner, Progress, silent
from pipeline.records import Curve, Density, Diagnosis, IssueLabels, Mined, OtherDensity, Windows
from pipeline.screening.density import measure_density, signals_of
from pipeline.screening.signal import signals
from pipeline.screening.windows import fit_windows


@dataclass(frozen=True)
class Measured:
    """A mined repository, its density, and the expected size of its holdout."""

    mined: Mined
    density: Density | None
    evidence: dict[str, float]  # share of credit by evidence kind
    held_out: int  # expected number of held-out functions
    held_out_positives: int
    config_hash: str = ""  # of the repository's own configuration; empty without one
    diagnosis: Diagnosis | None = None
    other: OtherDensity | None = None  # under the other shipped label recipe, if both could be measured


def facts_path(data_dir: Path, repository: Repository) -> Path:
    """Return the path of the cache that mining keeps for a repository between runs."""
    digest = hashlib.sha256(str(repository.git_dir.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return data_dir / "facts" / f"{digest}.sqlite"


def measure(
    repository: Repository,
    recipe: LabelRecipe,
    *,
    data_dir: Path | None = None,
    as_of: int | None = None,
    seen_at: int | None = None,
    jobs: int = 1,
    progress: Progress = silent,
    overlay: Overlay = NO_OVERLAY,
    tracked: Tracked | None = None,
) -> Measured:
    """Mine a repository as of `as_of` (Unix seconds; the present if None) and measure its density.

    No window ends after `seen_at`, the time the head was first seen, if known. `overlay` is the repository's own
    configuration. `tracked` holds its issues and pull requests; the recipe determines whether they count as evidence.
    """
    store = facts_path(data_dir, repository) if data_dir else None
    with Miner(repository, recipe, store, jobs, progress, overlay, tracked) as miner:
        if as_of is not None:
            miner.cut(as_of)
        return measure_open(miner, recipe, seen_at)


def measure_open(miner: Miner, recipe: LabelRecipe, seen_at: int | None = None) -> Measured:
    """Do the same with a miner that the caller has opened; it stays open."""
    history = miner.history
    head_at, seen_at = history.effective_at[-1], miner.first_seen(seen_at)
    windows = fit_windows(history.effective_at[0], min(head_at, seen_at), recipe, miner.count_alive)
    mined, other = _mine(miner, windows, recipe)
    density = measure_density(mined.train, mined.fix_files, recipe)
    if head_at > seen_at:
        note = f"the newest commit is dated in the future: the windows end {iso_day(seen_at)}, when it was first seen"
        mined = dataclasses.replace(mined, notes=(*mined.notes, note))
    positives = sum(function.credit > 0 for function in mined.holdout)
    return Measured(
        mined=mined,
        density=density,
        evidence=evidence_mix(mined),
        held_out=round(HOLDOUT_SHARE * len(mined.holdout)),
        held_out_positives=round(HOLDOUT_SHARE * positives),
        config_hash=miner.overlay.config_hash,
        diagnosis=diagnose(mined, density, recipe, miner.tracked.tracker if miner.tracked else None),
        other=other,
    )


def _mine(miner: Miner, windows: Windows, recipe: LabelRecipe) -> tuple[Mined, OtherDensity | None]:
    """Mine under both recipes; return the result under `recipe` and the other density (None without `tracked`)."""
    if miner.tracked is None:
        return miner.mine(windows), None
    messages_alone, with_all = miner.mine_messages(windows), miner.mine(windows)
    if recipe.reads_tracker:
        mined, other, named = with_all, messages_alone, by_messages(recipe)
    else:
        mined, other, named = messages_alone, with_all, with_tracker(recipe)
    return mined, OtherDensity(named.name, named.id, measure_density(other.train, other.fix_files, recipe))


def diagnose(mined: Mined, density: Density | None, recipe: LabelRecipe, tracker: Tracker | None) -> Diagnosis:
    """Return figures that explain a density.

    The effective number of positives is Kish's effective sample size, (Σy)² / Σy² (Survey Sampling, 1965), which is at
    most the number of positives.
    """
    signals = signals_of(mined.train, recipe)
    squares = math.fsum(signals * signals)
    return Diagnosis(
        credited=len(mined.counted),
        keyword_alone=sum(fix.evidence.kind == "keyword" for fix in mined.counted),
        effective_positives=math.fsum(signals) ** 2 / squares if squares else 0.0,
        inflation=density.file_positive_share / density.positive_share if density and density.positives else None,
        issues=None if tracker is None else label_coverage(tracker, mined.windows),
    )


def label_coverage(tracker: Tracker, windows: Windows) -> IssueLabels:
    """Count labels on the issues closed between the start of the training window and the end of the horizon."""
    closed = [fact for fact in tracker.facts.values() if _closed_in(fact, windows)]
    return IssueLabels(
        closed=len(closed),
        unlabelled=sum(not fact.labels and fact.issue_type is None for fact in closed),
        bugs=sum(tracker.nature(fact.number) == "bug" for fact in closed),
    )


def _closed_in(fact: IssueFact, windows: Windows) -> bool:
    closed_at = fact.closed_at
    return not fact.is_pull_request and closed_at is not None and windows.train_start < closed_at <= windows.as_of


def evidence_mix(mined: Mined) -> dict[str, float]:
    """Return the share of credit by evidence kind; empty without credit."""
    total = math.fsum(credit for _, credit in mined.credit_by_kind)
    return {kind: credit / total for kind, credit in mined.credit_by_kind} if total else {}


def seed_measurement(measured: Measured, recipe: LabelRecipe) -> SeedMeasurement:
    """Return the seed record of a measured history, for every curve. Raises ValueError if it has no pairs."""
    mined, density = measured.mined, measured.density
    if density is None:
        raise ValueError(f"{mined.repo} has no functions at the start of its training window")
    credits = np.array([p.credit for p in mined.train])
    touches = np.array([p.touches for p in mined.train])

    def density_of(chosen: NDArray[np.int64], curve: Curve) -> float:
        values = signals(credits[chosen], touches[chosen], curve, recipe.scale_top)
        return math.fsum(values) / len(values)

    random = np.random.Generator(np.random.PCG64(BOOTSTRAP_SEED))
    size = min(SAMPLE_SIZE, len(credits))
    samples = [np.sort(random.choice(len(credits), size, replace=False)) for _ in range(SAMPLES)]
    return SeedMeasurement(
        head_sha=mined.head_sha,
        label_recipe_id=recipe.id,
        windows=mined.windows,
        commits=mined.window_commits,
        fix_commits=mined.fix_commits,
        evidence=measured.evidence,
        density=density,
        curves={curve: density_of(np.arange(len(credits)), curve) for curve in CURVES},
        samples={curve: tuple(density_of(sample, curve) for sample in samples) for curve in CURVES},
        functions_alive=len(mined.holdout),
        held_out=measured.held_out,
        held_out_positives=measured.held_out_positives,
        notes=mined.notes,
    )
