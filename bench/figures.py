"""What the benchmark measured, and the ratios and tables made of it. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """A quantity measured several times."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Raises ValueError without a value."""
        if not values:
            raise ValueError("nothing was measured")
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class ColdRuns:
    """Pairs of `git log -p` (the reference B) and a cold `assay screen`, taken in turn."""

    reference_s: tuple[float, ...]  # wall
    screen_s: tuple[float, ...]  # wall, in the same order
    jobs: int

    @property
    def ratio(self) -> Spread:
        """Screen over reference, pair by pair: what disturbs the machine disturbs both halves of a pair."""
        return Spread.of([s / r for s, r in zip(self.screen_s, self.reference_s, strict=True)])


@dataclass(frozen=True)
class AgainstPyDriller:
    """CPU seconds of both on the non-merge commits that land in the same windows."""

    commits: int  # ours, all of which were mined
    visited: int  # PyDriller's: all of them, or a sample
    failed: int  # of the visited, where PyDriller gave up
    ours_cpu_s: float  # one process, cold, start to end
    startup_cpu_s: float  # PyDriller's, before the first commit
    visiting_cpu_s: float  # PyDriller's, for the visited commits
    left_out_cpu_s: float  # of that, for the methods of files that Assay leaves out

    @property
    def theirs_cpu_s(self) -> float:
        """For all commits: as measured where all were visited, else extrapolated by the commit."""
        return self._for_all(self.visiting_cpu_s)

    def _for_all(self, visiting_cpu_s: float) -> float:
        return self.startup_cpu_s + visiting_cpu_s * (self.commits / self.visited if self.visited else 0.0)

    @property
    def is_sample(self) -> bool:
        return self.visited < self.commits

    @property
    def ratio(self) -> float:
        return self.theirs_cpu_s / self.ours_cpu_s

    @property
    def same_files_ratio(self) -> float:
        """With the methods of those files only that Assay reads too."""
        return self._for_all(self.visiting_cpu_s - self.left_out_cpu_s) / self.ours_cpu_s


@dataclass(frozen=True)
class SecondRun:
    """A screening of a repository that was screened some commits ago."""

    new_landings: int
    new_commits: int
    wall_s: Spread
    density: float | None
    cold_density: float | None

    @property
    def same_density(self) -> bool:
        """To the last digit."""
        return repr(self.density) == repr(self.cold_density)


@dataclass(frozen=True)
class Figures:
    """One repository."""

    name: str
    head_sha: str
    commits: int
    pairs: int
    cold: ColdRuns
    pydriller: AgainstPyDriller | None
    second: SecondRun | None
    peak_mb: float  # of the largest process in any run, as the kernel counted it
    each_peak_mb: tuple[float, ...]  # of each process of one cold run, as seen 20 times a second, largest first


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive numbers, at least one."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def lines(figures: Figures) -> list[str]:
    """Everything about one repository, for a terminal."""
    cold = figures.cold
    reference, screen = Spread.of(cold.reference_s), Spread.of(cold.screen_s)
    told = [
        f"{figures.name} at {figures.head_sha[:10]}: {figures.commits:,} commits, {figures.pairs:,} functions",
        f"  git log -p -U0 (B)      {_seconds(reference)}",
        f"  cold, {cold.jobs} processes       {_seconds(screen)}",
        f"  cold / B                {_times(cold.ratio)} over {len(cold.screen_s)} pairs of runs",
    ]
    if figures.pydriller:
        told += _against_pydriller(figures.pydriller)
    if figures.second:
        told.append(_second_run(figures.second))
    each = " + ".join(f"{peak:.0f}" for peak in figures.each_peak_mb)
    told.append(f"  peak memory             {figures.peak_mb:.0f} MiB in the largest process (one run: {each} MiB)")
    return told


def _against_pydriller(against: AgainstPyDriller) -> list[str]:
    told = [
        f"  CPU, one process        {against.ours_cpu_s:.2f} s for {against.commits:,} commits in the windows",
        f"  CPU, PyDriller          {against.theirs_cpu_s:.1f} s for {against.commits:,} commits"
        + (
            f": EXTRAPOLATED from a random sample of {against.visited:,}, which took {against.visiting_cpu_s:.1f} s"
            if against.is_sample
            else f", all {against.visited:,} visited"
        ),
        f"  PyDriller / Assay       {against.ratio:.1f} x"
        f" ({against.same_files_ratio:.1f} x with the methods of only those files that Assay reads)",
    ]
    if against.failed:
        told.insert(2, f"                          (it gave up on {against.failed:,} of them)")
    return told


def _second_run(second: SecondRun) -> str:
    same = "same density as cold" if second.same_density else f"DENSITY {second.density}, COLD {second.cold_density}"
    new = f"{second.new_landings:,} landings ({second.new_commits:,} commits) more"
    return f"  second run              {_seconds(second.wall_s)} with {new}; {same}"


def summary(all_figures: Sequence[Figures]) -> list[str]:
    """What holds over all repositories: the figures that have a target."""
    ratios = [f.pydriller.ratio for f in all_figures if f.pydriller]
    told = [f"cold / B: at most {max(f.cold.ratio.median for f in all_figures):.2f} (target 3, aim 1.5)"]
    if ratios:
        told.append(
            f"PyDriller / Assay: geometric mean {geometric_mean(ratios):.1f} x (target 25),"
            f" smallest {min(ratios):.1f} x (target 12)"
        )
    seconds = [f.second for f in all_figures if f.second]
    if seconds:
        told.append(f"second run: at most {max(s.wall_s.median for s in seconds):.2f} s (target 2)")
        if not all(s.same_density for s in seconds):
            told.append("second run: A DENSITY DIFFERS FROM A COLD RUN'S")
    told.append(f"peak memory: at most {max(f.peak_mb for f in all_figures):.0f} MiB a process (target 400)")
    return told


MARKDOWN_HEAD = (
    "| history | commits | `git log -p` (B) | cold screen | cold / B | PyDriller / Assay, CPU | commits compared "
    "| second run | peak memory |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


def markdown_row(figures: Figures) -> str:
    """One row for `MARKDOWN_HEAD`."""
    cold, against, second = figures.cold, figures.pydriller, figures.second
    reference, screen, ratio = Spread.of(cold.reference_s), Spread.of(cold.screen_s), cold.ratio
    compared = "–"
    if against:
        of = f"{against.visited:,} of {against.commits:,} (sample)" if against.is_sample else f"{against.commits:,}"
        compared = of
    cells = (
        figures.name,
        f"{figures.commits:,}",
        f"{reference.median:.1f} s",
        f"{screen.median:.1f} s",
        f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})",
        f"{against.ratio:.0f} ×" if against else "–",
        compared,
        f"{second.wall_s.median:.2f} s" if second else "–",
        f"{figures.peak_mb:.0f} MiB",
    )
    return f"| {' | '.join(cells)} |"


def _seconds(spread: Spread) -> str:
    return f"{spread.median:.2f} s ({spread.low:.2f} to {spread.high:.2f})"


def _times(spread: Spread) -> str:
    return f"{spread.median:.2f} ({spread.low:.2f} to {spread.high:.2f})"
