"""A repository measured: windows, functions, density, and what a run could be judged on. The front door to mining."""

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
from pipeline.label_recipe import BOOTSTRAP_SEED, HOLDOUT_SHARE, MESSAGES, MESSAGES_API, LabelRecipe
from pipeline.mining.issue_links import Tracked
from pipeline.mining.miner import Miner, Progress, silent
from pipeline.records import Curve, Density, Diagnosis, Mined, OtherDensity, Windows
from pipeline.screening.density import measure_density
from pipeline.screening.diagnosis import diagnose
from pipeline.screening.signal import signals
from pipeline.screening.windows import fit_windows


@dataclass(frozen=True)
class Measured:
    """A mined repository with its density, and what its holdout is expected to hold."""

    mined: Mined
    density: Density | None
    evidence: dict[str, float]  # share of credit by evidence kind
    held_out: int
    held_out_positives: int
    config_hash: str = ""  # of the repository's own configuration, empty without one
    diagnosis: Diagnosis | None = None
    other: OtherDensity | None = None  # under the other label recipe that ships, where both can be told


def facts_path(data_dir: Path, repository: Repository) -> Path:
    """Where mining remembers a repository between runs."""
    place = hashlib.sha256(str(repository.git_dir.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return data_dir / "facts" / f"{place}.sqlite"


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
    """Mine a repository as it stood at `as_of` (seconds since 1970; now where None) and measure its density.

    `seen_at` is when its head was first seen, for whoever remembers that: no window ends later. `overlay` is the
    repository's own configuration; `tracked` its issues and pull requests: the recipe says whether they decide.
    """
    store = facts_path(data_dir, repository) if data_dir else None
    with Miner(repository, recipe, store, jobs, progress, overlay, tracked) as miner:
        if as_of is not None:
            miner.cut(as_of)
        return measure_open(miner, recipe, seen_at)


def measure_open(miner: Miner, recipe: LabelRecipe, seen_at: int | None = None) -> Measured:
    """The same of a repository that is open for mining, and stays open."""
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
    """What decides, and the density under the other recipe; that is none without issues and pull requests."""
    if miner.tracked is None:
        return miner.mine(windows), None
    by_messages, by_all = miner.mine_messages(windows), miner.mine(windows)
    messages_decide = recipe.evidence_sources == MESSAGES.evidence_sources
    deciding, other, named = (by_messages, by_all, MESSAGES_API) if messages_decide else (by_all, by_messages, MESSAGES)
    return deciding, OtherDensity(named.name, named.id, measure_density(other.train, other.fix_files, recipe))


def evidence_mix(mined: Mined) -> dict[str, float]:
    """Share of the given credit by kind of evidence; empty without credit."""
    total = math.fsum(credit for _, credit in mined.credit_by_kind)
    return {kind: credit / total for kind, credit in mined.credit_by_kind} if total else {}


def seed_measurement(measured: Measured, recipe: LabelRecipe) -> SeedMeasurement:
    """What the seed data keeps of a measured history, for every curve. Raises ValueError without a pair."""
    mined, density = measured.mined, measured.density
    if density is None:
        raise ValueError(f"{mined.repo} has no function at the beginning of its training window")
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
