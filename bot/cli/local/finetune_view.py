"""The end of a job as a person reads it: what came out, in words, then every ranking of the same holdout."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from bot.cli.local.finetune_progress import minutes
from bot.cli.rankings_table import rankings_table
from pipeline.finetuning.comparison import ADAPTER, BLEND, FROZEN
from pipeline.reports.escape import inert

OUTCOMES = {
    "WIN": "WIN: the adapter ranks this repository's functions better than the baseline",
    "SOFT LOSS": "SOFT LOSS: the adapter is hardly better than the baseline; use the ranking without a model",
    "HARD LOSS": "HARD LOSS: the adapter is worse than the baseline; use the ranking without a model",
    "INCONCLUSIVE": "INCONCLUSIVE: no answer",
}


def render(result: dict[str, Any]) -> RenderableType:
    """What `finetune_json` holds, and where the files are (`out`)."""
    head = (
        f"{inert(result['repo'])} at {result['head_sha'][:10]}: "
        if result["head_sha"]
        else f"{inert(result['repo'])}: "
    )
    head += f"{result['n']:,} held-out functions, {result['positives']:,} of them fixed by {result['as_of'][:10]}"
    lines = [head, "", OUTCOMES[result["outcome"]], f"  {result['reason']}", *_shortfalls(result), *_beside(result)]
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
    found = []
    if completed < planned:
        found.append(f"  {completed} of {planned} seeds were completed within the time limit")
    short = [seed for seed, curve in result["curves"].items() if curve["ended"]]
    if short:
        found.append(f"  cut short by the time limit: seed {', '.join(short)}")
    return found


def _beside(result: dict[str, Any]) -> list[str]:
    """Whether the adapter is better than what costs next to nothing."""
    rho, best, frozen = result["rho_adapter"], result["best_cheap"], result["scorers"].get(FROZEN)
    if rho is None:
        return []
    said = []
    if best is not None:
        other, against = result["scorers"][best]["rho"], result["against_best_cheap"]
        verb = "beats" if result["beats_best_cheap"] else "does not beat"
        interval = "" if against["low"] is None else f"; Δρ {against['low']:+.3f} to {against['high']:+.3f}"
        said.append(f"  it {verb} the best cheap ranking, {best} (ρ {rho:.3f} and {other:.3f}{interval})")
    if frozen is None or frozen["rho"] is None:
        said.append(f"  {FROZEN}: not measured{'' if frozen is None else ': ' + frozen['reason']}")
    elif best != FROZEN:
        verb = "beats" if result["beats_frozen_embeddings"] else "does not beat"
        said.append(f"  it {verb} {FROZEN} (ρ {rho:.3f} and {frozen['rho']:.3f})")
    return said


def _cost(result: dict[str, Any]) -> str:
    rate = "" if result["tokens_per_second"] is None else f", {result['tokens_per_second']:,.0f} tokens/s"
    padding = "" if result["padding_share"] is None else f", {result['padding_share']:.1%} padding"
    expected = result["estimate"]["minutes"]
    beforehand = "" if expected is None else f"; at most {minutes(expected)} had been expected"
    spent = f"{minutes(result['gpu_seconds'] / 60)} on {inert(result['device'])}"
    return f"{spent}: {result['tokens']:,} tokens of training{rate}{padding}{beforehand}"


def _table(scorers: dict[str, Any]) -> RenderableType:
    return rankings_table([row | {"name": name} for name, row in scorers.items()], bold=(ADAPTER, BLEND))
