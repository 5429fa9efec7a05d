"""Placement of the training window and the horizon (docs/development/design.md, "Windows"). Pure."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.label_recipe import LabelRecipe
from pipeline.records import DAY_S, Windows


def place_windows(first: int, as_of: int, recipe: LabelRecipe, scale: float = 1.0) -> Windows:
    """Return the windows of a first-parent chain from `first` to `as_of`, shrunk by the factor `scale`."""
    history_s = max(0, as_of - first)
    both_s = min(recipe.default_window_s, recipe.history_share * history_s) * scale
    training_share = recipe.training_days / (recipe.training_days + recipe.horizon_days)
    eval_start = as_of - round(both_s * (1 - training_share))
    train_start = as_of - round(both_s)
    window_days = (eval_start - train_start) / DAY_S
    return Windows(
        train_start=train_start,
        eval_start=eval_start,
        as_of=as_of,
        window_days=window_days,
        horizon_days=(as_of - eval_start) / DAY_S,
        history_days=history_s / DAY_S,
        too_little_history=window_days < recipe.shortest_training_days,
        shortened=window_days < recipe.training_days,
    )


def fit_windows(first: int, as_of: int, recipe: LabelRecipe, count_alive: Callable[[int], int]) -> Windows:
    """Return the longest windows with enough functions alive at T_train.

    Shrinks both windows by `recipe.shrink` at a time until the functions alive at T_train are at least
    `recipe.alive_share` of those alive at T_eval, or the training window is too short (`too_little_history`).
    """
    scale = 1.0
    while True:
        windows = place_windows(first, as_of, recipe, scale)
        if windows.too_little_history:
            return windows
        if count_alive(windows.train_start) >= recipe.alive_share * count_alive(windows.eval_start):
            return windows
        scale *= recipe.shrink
