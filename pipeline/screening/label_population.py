"""The commits of a training window, divided into fix commits and others."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.git.history import commits_landing_in
from pipeline.label_recipe import LabelRecipe
from pipeline.mining.miner import Miner
from pipeline.records import AssayError, Windows
from pipeline.screening.windows import fit_windows


@dataclass(frozen=True)
class Population:
    """The non-merge commits landing in a training window, as SHAs in landing order."""

    head_sha: str
    windows: Windows
    fixes: tuple[str, ...]
    others: tuple[str, ...]


def read_population(miner: Miner, recipe: LabelRecipe) -> Population:
    """Return the commits of the training window. Raises AssayError if the history is too short for a window."""
    history = miner.history
    windows = fit_windows(
        history.effective_at[0], min(history.effective_at[-1], miner.first_seen()), recipe, miner.count_alive
    )
    if windows.too_little_history:
        raise AssayError("too little history for a training window: label commits of an older repository")
    train_at, eval_at = miner.positions(windows)
    fixes = miner.fix_commits(train_at, eval_at, windows.eval_start)
    graph = history.graph
    commits = [c for c in commits_landing_in(history, train_at, eval_at) if len(graph.parents[c]) < 2]
    return Population(
        head_sha=graph.ids[history.head].hex(),
        windows=windows,
        fixes=tuple(graph.ids[c].hex() for c in commits if c in fixes),
        others=tuple(graph.ids[c].hex() for c in commits if c not in fixes),
    )
