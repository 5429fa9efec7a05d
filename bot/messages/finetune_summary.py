"""The words of a run that finished, for a maintainer who never heard of Assay. Markdown; what is foreign is inert."""

from __future__ import annotations

from typing import Final

from bot.messages.finetune_context import NextStep, Shown
from bot.messages.hotspots import HEADING
from bot.messages.markdown import code, prose
from bot.messages.sections import bullets, joined, section
from bot.records import Run, StoredScreening
from pipeline.json_fields import MalformedError
from pipeline.label_recipe import MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.ranking.outcome import LEAST_DELTA
from pipeline.reports import numbers
from pipeline.reports.finetune_figures import FinetuneFigures, Measured, ScorerFigures
from pipeline.screening.measurement import load_judgement, load_measurement

_ADVICE: Final = "This holds no merge up. Please never make it a required check."
_UNREADABLE: Final = (
    "The run finished, but its result was stored by another release of Assay and cannot be read by this one."
)
_COLUMNS: Final = ("ranking", "ρ", "95 %", "ρ/ρ_max", "AUC", "right in the first 10", "found in 20 % of the lines")
_WHAT_RHO_IS: Final = (
    "ρ is the rank correlation (Spearman) between a ranking and the fixes that came: 1 is a perfect order, 0 is none. "
    "The baseline is a fixed formula without any learning."
)


def render_outcome(run: Run, figures: FinetuneFigures, shown: Shown) -> str:
    if figures.outcome is None:
        return joined(f"**{_UNREADABLE}**", f"{shown.try_again} for a new one.", _ADVICE)
    return joined(
        f"**{_answer(figures, shown)}**",
        bullets(_marks(run, figures)),
        _asked(run, figures),
        section("What came out", bullets(_findings(figures)), _WHAT_RHO_IS),
        section("Every ranking of the same functions", _table(figures)),
        section("What to use from now on", _from_now_on(figures, shown)),
        section("The prediction made before", _prediction(run, figures, shown.predicted)),
        section("What it changes", _calibration(run, figures, shown)),
        _ADVICE,
    )


def _answer(figures: FinetuneFigures, shown: Shown) -> str:
    it = f"ine-tuning a language model on the bug fixes of {code(shown.full_name)}"
    at_what = "at ranking functions that it was not trained on"
    if figures.control:
        return f"A control: f{it} with something spoilt on purpose. It says nothing about the model."
    if figures.outcome == "WIN":
        return f"F{it} paid: the model is better than the baseline {at_what}."
    if figures.outcome == "SOFT LOSS":
        return f"F{it} did not pay: the model is hardly better than the baseline {at_what}."
    if figures.outcome == "HARD LOSS":
        below_zero = figures.adapter.value is not None and figures.adapter.value < 0
        than = "no order at all" if below_zero else "the baseline"
        return f"F{it} did not pay: the model is worse than {than} {at_what}."
    return f"Whether f{it} pays cannot be told from this run."


def _marks(run: Run, figures: FinetuneFigures) -> list[str]:
    """What sets this run apart from an ordinary one."""
    marks = []
    if figures.control:
        marks.append(f"**Control** ({prose(figures.control)}): it never counts as an outcome.")
    if run.audit:
        marks.append("**Audit**: drawn at random to test a SKIP. Nobody asked for it.")
    if run.forced:
        marks.append("**Forced**: the verdict was SKIP, and somebody wanted the run all the same.")
    if figures.shortened:
        marks.append("**Time limit**: less was trained than planned, so more time might have given another result.")
    if figures.fewer_seeds:
        done, planned = len(figures.seeds_completed), len(figures.seeds_planned)
        marks.append(f"**Fewer seeds**: {done:,} of {numbers.counted(planned, 'seed')} were completed.")
    if figures.config_hash:
        marks.append(f"**Own configuration**: measured with this repository’s own, {code(figures.config_hash)}.")
    return marks


def _asked(run: Run, figures: FinetuneFigures) -> str:
    """What was done, in words that need no other page."""
    learned = "functions" if figures.trained_on is None else numbers.counted(figures.trained_on, "function")
    ranked = "functions" if figures.n is None else numbers.counted(figures.n, "other function")
    first, then, last = figures.train_start, figures.eval_start, figures.as_of
    start, until = (f"on {first}", then) if first and then else ("at the start of the training window", "its end")
    return (
        f"The model {code(run.base_model)} was shown {learned} as they were {start}, and how much bug fixes touched "
        f"each of them until {until}. Then it had to rank {ranked}, as they were on that day, by the risk of needing a "
        f"fix. The fixes that came after that day{f', up to {last},' if last else ''} say how good its ranking is; it "
        "was shown none of them."
    )


def _findings(figures: FinetuneFigures) -> list[str]:
    adapter, baseline = figures.adapter, figures.baseline
    found = [
        f"ρ of the adapter {_with_interval(adapter)}, ρ of the baseline {_with_interval(baseline)}.",
        f"Δρ {_with_interval(figures.delta, signed=True)}, the interval from paired resamples. "
        f"From {numbers.rho(LEAST_DELTA, signed=True)} on it counts as a win.",
        *_population(figures),
    ]
    if figures.rho_max is not None:
        found.append(f"No ranking can reach more than ρ_max = {numbers.rho(figures.rho_max)} here.")
    if figures.smallest_detectable is not None:
        found.append(f"The smallest Δρ that so many functions can show is {numbers.rho(figures.smallest_detectable)}.")
    found.append(_best_cheap(figures))
    if figures.reason:
        found.append(f"Why it is called {figures.outcome}: {prose(figures.reason)}")
    if figures.outcome == "INCONCLUSIVE" and not figures.control:
        found.append(
            f"An answer needs {MIN_HELD_OUT} held-out functions, {MIN_HELD_OUT_POSITIVES} of them with a fix, "
            "and resamples that agree."
        )
    return [line for line in found if line]


def _population(figures: FinetuneFigures) -> list[str]:
    if figures.n is None or figures.positives is None:
        return []
    held_out = numbers.counted(figures.n, "held-out function")
    prevalence = "" if figures.prevalence is None else f" ({numbers.share(figures.prevalence)})"
    return [f"{held_out}, {figures.positives:,} of them with a fix{prevalence}."]


def _best_cheap(figures: FinetuneFigures) -> str:
    """Whether fine-tuning was worth more than what costs next to nothing."""
    asked = "Beats the best cheap ranking"
    if figures.beats_best_cheap is None:
        return f"{asked}: cannot be told."
    answer = "yes" if figures.beats_best_cheap else "no"
    against = figures.against_best_cheap
    interval = numbers.rho_interval(against.low, against.high, signed=True)
    which = prose(figures.best_cheap) if figures.best_cheap else "unnamed"
    delta = numbers.rho(against.value, signed=True)
    return f"{asked}: **{answer}** ({which}; Δρ against it {delta}, 95 %: {interval})."


def _with_interval(measured: Measured, *, signed: bool = False) -> str:
    value = numbers.rho(measured.value, signed=signed)
    if measured.low is None or measured.high is None:
        return f"{value} (no interval)"
    return f"{value} (95 %: {numbers.rho_interval(measured.low, measured.high, signed=signed)})"


def _table(figures: FinetuneFigures) -> str:
    if not figures.scorers:
        return ""
    rows = [_COLUMNS, ("---", *["---:"] * (len(_COLUMNS) - 1)), *map(_cells, figures.scorers)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cells(scorer: ScorerFigures) -> tuple[str, ...]:
    """A pipe in a foreign name would end its cell, in a code span too."""
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


_BASELINE_STAYS: Final = (
    f"The baseline: **{HEADING}** in `assay/screen`, where rankings are shown, or `assay rank PATH`, run on a clone."
)
_ONCE_MORE: Final[dict[NextStep, str]] = {
    "": "",
    "coming": "Its recipe is trained once more on all labels up to now, which is under way; the ranking in "
    "`assay/screen` changes when that is done. That adapter is not judged itself.",
    "ranks": "Its recipe was trained once more on all labels, and ranks in `assay/screen`. That adapter was not judged "
    "itself.",
    "unseen": "This repository is public and its ranking is shown to nobody (`publish_ranking` in `.github/assay.yml` "
    "changes that), so nothing more is trained for it.",
    "off": "It is not trained once more, because there are no GPU minutes for it or fine-tuning was switched off; the "
    "baseline ranks until that changes.",
}


def _from_now_on(figures: FinetuneFigures, shown: Shown) -> str:
    if shown.next_step == "overruled":
        return "What a newer result says: this one came from an earlier command."
    if figures.best == "baseline":
        return _BASELINE_STAYS
    by = {"adapter": "the adapter", "blend": "the blend of adapter and activity, which ranks better still"}
    use = f"The ranking by {by[figures.best]}."
    if shown.next_step == "failed":
        return (
            f"{use} Its recipe could not be trained once more on all labels, so the baseline ranks for now: "
            f"{prose(shown.why_not)}"
        )
    return f"{use} {_ONCE_MORE[shown.next_step]}".rstrip()


def _prediction(run: Run, figures: FinetuneFigures, predicted: StoredScreening | None) -> str:
    if predicted is None or predicted.failure:
        return "None: no verdict was stored before this run."
    try:
        measurement, judgement = load_measurement(predicted.measurement), load_judgement(predicted.judgement)
    except MalformedError:
        return "It was stored by another release of Assay and cannot be read by this one."
    density = measurement.density
    said = "no density" if density is None else f"density {_density(density.value, density.low, density.high)}"
    at = "" if predicted.head_sha == run.head_sha else f" at {code(predicted.head_sha[:7])}"
    return (
        f"Measured on {predicted.measured_at:%Y-%m-%d}{at}: {said}, threshold "
        f"{numbers.density(judgement.threshold.value)}, verdict {judgement.verdict} ({prose(judgement.words)}). "
        f"{_was_right(judgement.verdict, judgement.measurable, figures)}"
    )


def _density(value: float, low: float, high: float) -> str:
    return f"{numbers.density(value)} (95 %: {numbers.interval(low, high)})"


def _was_right(verdict: str, measurable: bool, figures: FinetuneFigures) -> str:
    if not figures.conclusive:
        return "This run cannot say whether it was right."
    if not measurable:
        return "It was not made for want of something to judge by, so it was neither right nor wrong."
    right = (verdict == "RUN") == (figures.outcome == "WIN")
    return "It was **right**." if right else "It was **wrong**."


def _calibration(run: Run, figures: FinetuneFigures, shown: Shown) -> str:
    """What became of the threshold, or why nothing did."""
    if figures.control:
        return "Nothing: a control never enters the calibration set."
    if figures.outcome == "INCONCLUSIVE":
        return "Nothing: an inconclusive outcome is kept in the ledger and never moves the threshold."
    if shown.not_counted:
        return f"Nothing, because {prose(shown.not_counted)}."
    if shown.change is None:
        return "What it did to the threshold is not stored."
    before, after = numbers.density(shown.change.before), numbers.density(shown.change.after)
    moved = f"threshold {before} → {after}" if before != after else f"the threshold stays at {after}"
    of_all = numbers.counted(shown.change.judged, "repository", "repositories")
    own = " Measured with a configuration of its own, it counts for this installation only." if run.config_hash else ""
    return f"It joined the calibration set: {moved}; {shown.change.flipped:,} of {of_all} flipped.{own}"
