"""Render the result of a run for people: the outcome in words, then every ranking of the same holdout."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from bot.cli.local.finetune_progress import duration
from bot.cli.rankings_table import rankings_table
from pipeline.finetuning.comparison import FROZEN
from pipeline.finetuning.ranker import ADAPTER, BLEND
from pipeline.reports.escape import inert

OUTCOMES = {
    "WIN": "WIN: the adapter ranks this repository's functions better than the baseline",
    "SOFT LOSS": "SOFT LOSS: the adapter is hardly better than the baseline; use the ranking without a model",
    "HARD LOSS": "HARD LOSS: the adapter is worse than the baseline; use the ranking without a model",
    "INCONCLUSIVE": "INCONCLUSIVE: the data do not decide",
}


def render(result: dict[str, Any]) -> RenderableType:
    """Render the JSON of a run; `out` is the folder with its files."""
    commit = f" at {result['head_sha'][:10]}" if result["head_sha"] else ""
    head = (
        f"{inert(result['repo'])}{commit}: {result['n']:,} held-out functions, {result['positives']:,} of them fixed "
        f"by {result['as_of'][:10]}"
    )
    lines = [head, "", OUTCOMES[result["outcome"]], f"  {result['reason']}", *_shortfalls(result), *_cheap(result)]
    after = [*(f"note: {inert(note, 400)}" for note in result["notes"]), _cost(result), f"written to {result['out']}"]
    return Group(
        Text("\n".join(lines)),
        Text(""),
        _table(result["scorers"]),
        Text(""),
        Text("\n".join(after)),
    )


def _shortfalls(result: dict[str, Any]) -> list[str]:
    planned, completed = len(result["seeds_planned"]), len(result["seeds_completed"])
    lines = []
    if completed < planned:
        lines.append(f"  {completed} of {planned} seeds were completed within the time limit")
    short = [seed for seed, curve in result["curves"].items() if curve["ended"]]
    if short:
        lines.append(f"  cut short by the time limit: seed {', '.join(short)}")
    return lines


def _cheap(result: dict[str, Any]) -> list[str]:
    """Compare the adapter with rankings that cost next to nothing."""
    rho, best, frozen = result["rho_adapter"], result["best_cheap"], result["scorers"].get(FROZEN)
    if rho is None:
        return []
    lines = []
    if best is not None:
        other, against = result["scorers"][best]["rho"], result["against_best_cheap"]
        verb = "beats" if result["beats_best_cheap"] else "does not beat"
        interval = "" if against["low"] is None else f"; Δρ {against['low']:+.3f} to {against['high']:+.3f}"
        lines.append(f"  it {verb} the best cheap ranking, {best} (ρ {rho:.3f} and {other:.3f}{interval})")
    if frozen is None or frozen["rho"] is None:
        lines.append(f"  {FROZEN}: not measured{'' if frozen is None else ': ' + frozen['reason']}")
    elif best != FROZEN:
        verb = "beats" if result["beats_frozen_embeddings"] else "does not beat"
        lines.append(f"  it {verb} {FROZEN} (ρ {rho:.3f} and {frozen['rho']:.3f})")
    return lines


def _cost(result: dict[str, Any]) -> str:
    rate = "" if result["tokens_per_second"] is None else f", {result['tokens_per_second']:,.0f} tokens/s"
    padding = "" if result["padding_share"] is None else f", {result['padding_share']:.1%} padding"
    expected = result["estimate"]["minutes"]
    estimate = "" if expected is None else f"; estimate: at most {duration(expected)}"
    spent = f"{duration(result['gpu_seconds'] / 60)} on {inert(result['device'])}"
    return f"{spent}: {result['tokens']:,} tokens of training{rate}{padding}{estimate}"


def _table(scorers: dict[str, Any]) -> RenderableType:
    return rankings_table([row | {"name": name} for name, row in scorers.items()], bold=(ADAPTER, BLEND))
