"""The summary of `assay/finetune` for a finished run, for a maintainer who has never heard of Assay."""

from __future__ import annotations

from typing import Final

from bot.messages.check_run import NEVER_BLOCKS
from bot.messages.finetune_context import FinetuneContext, NextStep
from bot.messages.hotspots import HEADING
from bot.messages.markdown import bullets, code, paragraphs, prose, section, short_sha
from bot.messages.outcome_text import render_change, why_not_counted
from bot.messages.run_text import origin, with_interval
from bot.messages.verdict_text import verdict_words
from bot.records import Run, StoredScreening
from pipeline.json_fields import MalformedError
from pipeline.label_recipe import MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.ranking.outcome import MIN_WIN_DELTA
from pipeline.reports import numbers
from pipeline.reports.finetune_figures import FinetuneFigures, ScorerFigures
from pipeline.screening.measurement import load_judgement, load_measurement

_UNREADABLE: Final = (
    "The run finished, but its result was stored by another release of Assay and this one cannot read it."
)
_COLUMNS: Final = ("ranking", "ρ", "95 %", "ρ/ρ_max", "AUC", "precision at 10", "recall at 20 % of lines")
_RHO: Final = (
    "ρ is the rank correlation (Spearman) between a ranking and the fixes that followed: 1 is a perfect order, 0 is no "
    "order. The baseline is a fixed formula without learning."
)
_USE_BASELINE: Final = (
    f"The baseline: see **{HEADING}** in `assay/screen` where rankings are shown, or run `assay rank PATH` on a clone."
)
_NEXT_STEPS: Final[dict[NextStep, str]] = {
    "": "",
    "coming": "The model is being retrained with the same recipe on all labels up to now. Once that is done, it ranks "
    "in `assay/screen`. The retrained adapter is not judged again.",
    "ranks": "Retrained with the same recipe on all labels, it ranks in `assay/screen`. The retrained adapter was not "
    "judged again.",
    "unseen": "It is not retrained, because this repository is public and its ranking is not shown "
    "(`publish_ranking` in `.github/assay.yml` changes that).",
    "off": "It is not retrained, because there are no GPU minutes for it or fine-tuning was disabled. Until that "
    "changes, the baseline ranks.",
}


def render_outcome(run: Run, figures: FinetuneFigures, context: FinetuneContext) -> str:
    """Return Markdown. `figures` are those of `run.result`."""
    if figures.outcome is None:
        return paragraphs(f"**{_UNREADABLE}**", f"{context.try_again} to start a new run.", NEVER_BLOCKS)
    return paragraphs(
        f"**{_answer(figures, context)}**",
        bullets(_marks(run, figures)),
        _method(run, figures),
        section("Results", bullets(_results(figures)), _RHO),
        section("All rankings of the same functions", _table(figures)),
        section("What to use from now on", _recommendation(figures, context)),
        section("The prediction before the run", _prediction(run, figures, context.predicted)),
        section("What it changes", _calibration(run, figures, context)),
        NEVER_BLOCKS,
    )


def _answer(figures: FinetuneFigures, context: FinetuneContext) -> str:
    it = f"ine-tuning a language model on the bug fixes of {code(context.full_name)}"
    at_what = "at ranking functions that it was not trained on"
    if figures.control:
        return f"A control: f{it} with something broken on purpose. It says nothing about the model."
    if figures.outcome == "WIN":
        return f"F{it} paid off: the model is better than the baseline {at_what}."
    if figures.outcome == "SOFT LOSS":
        return f"F{it} did not pay off: the model is hardly better than the baseline {at_what}."
    if figures.outcome == "HARD LOSS":
        below_zero = figures.adapter.value is not None and figures.adapter.value < 0
        than = "chance" if below_zero else "the baseline"
        return f"F{it} did not pay off: the model is worse than {than} {at_what}."
    return f"This run cannot tell whether f{it} pays off."


def _marks(run: Run, figures: FinetuneFigures) -> list[str]:
    """Return what sets this run apart from an ordinary one."""
    marks = []
    if figures.control:
        marks.append(f"**Control** ({prose(figures.control)}): it never counts as an outcome.")
    marks += origin(run)
    if figures.shortened:
        marks.append("**Time limit**: training was cut short, and more time might have changed the result.")
    if figures.fewer_seeds:
        done, planned = len(figures.seeds_completed), len(figures.seeds_planned)
        marks.append(f"**Fewer seeds**: only {done:,} of {numbers.counted(planned, 'seed')} completed.")
    if figures.config_hash:
        marks.append(f"**Own configuration**: measured with this repository’s own, {code(figures.config_hash)}.")
    return marks


def _method(run: Run, figures: FinetuneFigures) -> str:
    """Return what was done, for a reader without any other page."""
    learned = "functions" if figures.trained_on is None else numbers.counted(figures.trained_on, "function")
    ranked = "functions" if figures.n is None else numbers.counted(figures.n, "other function")
    first, then, last = figures.train_start, figures.eval_start, figures.as_of
    start, until = (f"on {first}", then) if first and then else ("at the start of the training window", "its end")
    return (
        f"The model {code(run.base_model)} was trained on {learned} as they were {start}, and on how much bug fixes "
        f"touched each of them until {until}. It then ranked {ranked}, as they were on that day, by the risk of "
        f"needing a fix. The ranking is judged by the fixes after that day{f', up to {last}' if last else ''}, none of "
        "which the model has seen."
    )


def _results(figures: FinetuneFigures) -> list[str]:
    lines = [
        f"Adapter: ρ {with_interval(figures.adapter)}; baseline: ρ {with_interval(figures.baseline)}.",
        f"Δρ {with_interval(figures.delta, signed=True)}, the interval from paired resamples. "
        f"{numbers.rho(MIN_WIN_DELTA, signed=True)} or more counts as a win.",
        _population(figures),
    ]
    if figures.rho_max is not None:
        lines.append(f"No ranking can exceed ρ_max = {numbers.rho(figures.rho_max)} here.")
    if figures.smallest_detectable is not None:
        smallest = numbers.rho(figures.smallest_detectable)
        lines.append(f"The smallest Δρ that this many functions can show is {smallest}.")
    lines.append(_best_cheap(figures))
    if figures.reason:
        lines.append(f"Why {figures.outcome}: {prose(figures.reason)}")
    if figures.outcome == "INCONCLUSIVE" and not figures.control:
        lines.append(
            f"A conclusive result takes {MIN_HELD_OUT} held-out functions, {MIN_HELD_OUT_POSITIVES} of them "
            "with a fix, and resamples that agree."
        )
    return lines


def _population(figures: FinetuneFigures) -> str:
    if figures.n is None or figures.positives is None:
        return ""
    held_out = numbers.counted(figures.n, "held-out function")
    prevalence = "" if figures.prevalence is None else f" ({numbers.share(figures.prevalence)})"
    return f"{held_out}, {figures.positives:,} of them with a fix{prevalence}."


def _best_cheap(figures: FinetuneFigures) -> str:
    """Return whether fine-tuning beat the rankings that cost next to nothing."""
    question = "Better than the best cheap ranking"
    if figures.beats_best_cheap is None:
        return f"{question}: unknown."
    answer = "yes" if figures.beats_best_cheap else "no"
    against = figures.against_best_cheap
    interval = numbers.rho_interval(against.low, against.high, signed=True)
    name = prose(figures.best_cheap) if figures.best_cheap else "unnamed"
    delta = numbers.rho(against.value, signed=True)
    return f"{question}: **{answer}** ({name}; Δρ against it {delta}, 95 %: {interval})."


def _table(figures: FinetuneFigures) -> str:
    if not figures.scorers:
        return ""
    rows = [_COLUMNS, ("---", *["---:"] * (len(_COLUMNS) - 1)), *map(_cells, figures.scorers)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(scorer: ScorerFigures) -> tuple[str, ...]:
    """Return a row. A pipe in a foreign name would end its cell even inside a code span."""
    return (
        prose(scorer.name.replace("|", "/"), 80),
        numbers.rho(scorer.rho.value),
        numbers.rho_interval(scorer.rho.low, scorer.rho.high),
        numbers.rho(scorer.rho_share),
        numbers.rho(scorer.auc),
        _share(scorer.precision_at_10),
        _share(scorer.recall_at_20_percent),
    )


def _share(value: float | None) -> str:
    return numbers.NONE if value is None else numbers.share(value)


def _recommendation(figures: FinetuneFigures, context: FinetuneContext) -> str:
    if context.next_step == "overruled":
        return "A newer result decides: this run was requested before that one."
    if figures.best == "baseline":
        return _USE_BASELINE
    scorers = {"adapter": "the adapter", "blend": "the blend of adapter and activity, which does even better"}
    use = f"The ranking by {scorers[figures.best]}."
    if context.next_step == "failed":
        return f"{use} Retraining on all labels failed, so the baseline ranks for now. Reason: {prose(context.why_not)}"
    return f"{use} {_NEXT_STEPS[context.next_step]}".rstrip()


def _prediction(run: Run, figures: FinetuneFigures, predicted: StoredScreening | None) -> str:
    if predicted is None or predicted.failure:
        return "None: no verdict was stored before this run."
    try:
        measurement, judgement = load_measurement(predicted.measurement), load_judgement(predicted.judgement)
    except MalformedError:
        return "It was stored by another release of Assay, and this one cannot read it."
    density = measurement.density
    value = "no density"
    if density is not None:
        value = f"density {numbers.density(density.value)} (95 %: {numbers.interval(density.low, density.high)})"
    at = "" if predicted.head_sha == run.head_sha else f" at {short_sha(predicted.head_sha)}"
    return (
        f"Measured on {predicted.measured_at:%Y-%m-%d}{at}: {value}, threshold "
        f"{numbers.density(judgement.threshold.value)}, verdict: {prose(verdict_words(measurement, judgement))}. "
        f"{_was_right(judgement.verdict, judgement.measurable, figures)}"
    )


def _was_right(verdict: str, measurable: bool, figures: FinetuneFigures) -> str:
    if not figures.conclusive:
        return "This run cannot tell whether it was right."
    if not measurable:
        return "It was SKIP for lack of data, so it was neither right nor wrong."
    right = (verdict == "RUN") == (figures.outcome == "WIN")
    return "It was **right**." if right else "It was **wrong**."


def _calibration(run: Run, figures: FinetuneFigures, context: FinetuneContext) -> str:
    """Return the effect of the outcome on the threshold, or why it had none."""
    if figures.control:
        return "Nothing: a control never enters the calibration set."
    if figures.outcome == "INCONCLUSIVE":
        return "Nothing: an inconclusive outcome is kept in the ledger and never moves the threshold."
    if context.not_counted:
        return f"Nothing, because {prose(why_not_counted(context.not_counted))}."
    if context.change is None:
        return "Its effect on the threshold is not stored."
    change = context.change
    own = " Measured with its own configuration, it counts for this installation only." if run.config_hash else ""
    moved = render_change(change.before, change.after, change.flipped, change.judged)
    return f"It joined the calibration set. {moved}{own}"
