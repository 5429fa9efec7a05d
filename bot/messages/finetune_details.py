"""The lower half of `assay/finetune`: how the model learned, and everything needed to reproduce the run."""

from __future__ import annotations

from bot.messages.charts import draw_training_curves
from bot.messages.markdown import block, bullets, code, paragraphs, prose, section
from bot.records import Run
from pipeline.reports import numbers
from pipeline.reports.finetune_figures import FinetuneFigures


def render_finetune_details(run: Run, figures: FinetuneFigures) -> str:
    """Return Markdown for a finished run."""
    chart = draw_training_curves(figures.curves)
    missing = [f"{prose(scorer.name)}: {prose(scorer.reason)}" for scorer in figures.scorers if scorer.reason]
    return paragraphs(
        section("How it learned", block(chart) if chart else ""),
        section("Why numbers are missing", bullets(missing)),
        section("How it was made", bullets(_provenance(run, figures))),
        section("Notes", bullets(map(prose, figures.notes))),
    )


def cost(run: Run) -> str:
    """Return the GPU minutes as the budget counts them."""
    if not run.budget_month:
        return "GPU time: none was reserved and none was used"
    reserved, used = numbers.minutes(run.estimated_minutes), numbers.minutes(run.spent_minutes)
    return f"GPU time: {reserved} reserved, {used} used, from the budget of {run.budget_month}"


def _provenance(run: Run, figures: FinetuneFigures) -> list[str]:
    lines = [f"Commit {code(run.head_sha)}, pinned when the run was requested on {run.made_at:%Y-%m-%d}"]
    if figures.trained_on is not None and figures.training_positives is not None:
        functions = numbers.counted(figures.trained_on, "function")
        lines.append(f"Trained on {functions}, {figures.training_positives:,} of them with a fix")
    recipe, label_recipe = figures.recipe_id or run.recipe_id, figures.label_recipe_id or run.label_recipe_id
    lines += [
        f"Base model {code(run.base_model)}" + (f" at {code(figures.revision)}" if figures.revision else ""),
        f"Seeds completed: {_seeds(figures.seeds_completed)}; planned: {_seeds(figures.seeds_planned)}",
        f"Recipe {_known(recipe)}, label recipe {_known(label_recipe)}",
        f"Pairs {_known(run.pair_set_id)}",
        cost(run),
    ]
    return [*lines, f"Device {code(figures.device)}"] if figures.device else lines


def _known(identity: str | None) -> str:
    return code(identity) if identity else "unknown"


def _seeds(seeds: tuple[int, ...]) -> str:
    return ", ".join(f"{seed}" for seed in seeds) or "none"
