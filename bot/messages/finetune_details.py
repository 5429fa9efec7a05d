"""The lower half of `assay/finetune`: how the model learned, and everything that is needed to repeat it."""

from __future__ import annotations

from bot.messages.finetune_chart import draw_curves
from bot.messages.markdown import block, code, prose
from bot.messages.sections import bullets, joined, section
from bot.records import Run
from pipeline.reports import numbers
from pipeline.reports.finetune_figures import FinetuneFigures


def render_finetune_details(run: Run, figures: FinetuneFigures) -> str:
    chart = draw_curves(figures.curves)
    missing = [f"{prose(scorer.name)}: {prose(scorer.reason)}" for scorer in figures.scorers if scorer.reason]
    return joined(
        section("How it learned", block(chart) if chart else ""),
        section("Why numbers are missing", bullets(missing)),
        section("How it was made", bullets(_made(run, figures))),
        section("Notes", bullets(map(prose, figures.notes))),
    )


def _made(run: Run, figures: FinetuneFigures) -> list[str]:
    done, planned = figures.seeds_completed, figures.seeds_planned
    made = [
        f"Commit {code(run.head_sha)}, pinned when it was asked for on {run.made_at:%Y-%m-%d}",
        f"Base model {code(run.base_model)}" + (f" at {code(figures.revision)}" if figures.revision else ""),
        f"Seeds completed: {_seeds(done)}; planned: {_seeds(planned)}",
        f"Recipe {_known(figures.recipe_id or run.recipe_id)}, label recipe "
        f"{_known(figures.label_recipe_id or run.label_recipe_id)}",
        f"Pairs {_known(run.pair_set_id)}",
        cost(run),
    ]
    if figures.trained_on is not None and figures.training_positives is not None:
        made.insert(
            1,
            f"Trained on {numbers.counted(figures.trained_on, 'function')}, {figures.training_positives:,} of them "
            "with a fix",
        )
    return [*made, f"Device {code(figures.device)}"] if figures.device else made


def cost(run: Run) -> str:
    """GPU minutes as the budget counts them."""
    reserved, spent = numbers.minutes(run.estimated_minutes), numbers.minutes(run.spent_minutes)
    if not run.budget_month:
        return "GPU time: none was reserved and none was spent"
    return f"GPU time: {reserved} reserved, {spent} spent, from the budget of {run.budget_month}"


def _known(identity: str | None) -> str:
    return code(identity) if identity else "unknown"


def _seeds(seeds: tuple[int, ...]) -> str:
    return ", ".join(f"{seed}" for seed in seeds) or "none"
