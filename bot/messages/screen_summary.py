"""The summary and details of `assay/screen`, for a maintainer who has never heard of Assay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bot.messages.charts import draw_density_chart
from bot.messages.check_run import NEVER_BLOCKS
from bot.messages.hotspots import HEADING
from bot.messages.markdown import block, bullets, code, paragraphs, prose, section, short_sha
from bot.messages.refusals import EXPORT_PAIRS, REFUSALS
from bot.messages.screen_context import OffBecause, ScreenContext
from bot.messages.what_would_change import what_would_change
from bot.records import StoredScreening
from pipeline.label_recipe import RECIPES
from pipeline.records import Density, SourceFiles, Standing, Threshold
from pipeline.reports import numbers
from pipeline.reports.diagnosis_text import advice, compare_recipes, explain_density
from pipeline.screening.measurement import ExcludedCount, Judgement, Measurement
from pipeline.screening.verdict import render_standing

_MAX_NAMES: Final = 12
_MAX_GROUPS: Final = 5
_RECIPES: Final = frozenset(recipe.name for recipe in RECIPES.values())
_EVIDENCE: Final = {
    "issue": "linked bug issues",
    "label": "bug labels",
    "prefix": "subjects that begin with `fix:`",
    "keyword": "words such as fix or bug in the subject",
}
_CHART: Final = (
    "Each `o` is a repository that was fine-tuned. It won if the model then ranked its functions better than the "
    "baseline, a fixed formula without learning. `#` is this repository with its 95 % interval."
)
_ADVICE: Final = f"{NEVER_BLOCKS} It is advice about GPU time and says nothing about the quality of the code."
_OFF: Final[dict[OffBecause, str]] = {
    "server": REFUSALS["no_models"].sentence,
    "budget": REFUSALS["no_budget"].sentence,
    "configuration": REFUSALS["switched_off"].sentence,
}


def render_summary(
    stored: StoredScreening, measurement: Measurement, judgement: Judgement, context: ScreenContext, *, ranked: bool
) -> str:
    """Return Markdown. `ranked`: the text below the summary contains the ranking."""
    threshold, standing = judgement.threshold, judgement.standing
    rests_on = render_standing(threshold, standing)
    reasons = [reason for reason in judgement.reasons if reason != rests_on]
    return paragraphs(
        _opening(measurement, judgement, context),
        _alternative(measurement, judgement, ranked),
        _carried_over(stored, context),
        _position(measurement, judgement),
        section("What counted as evidence", bullets(_evidence(measurement))),
        section("Why this verdict", bullets(map(prose, reasons))),
        section("What would change it", bullets([*what_would_change(measurement, threshold), *_advice(measurement)])),
        section("What the threshold rests on", prose(rests_on), _borrowed(threshold), _exceptions(standing)),
        section("How to fine-tune", _how_to(measurement, judgement, context)),
        _configuration(context),
        _ADVICE,
    )


def render_details(stored: StoredScreening, measurement: Measurement) -> str:
    """Return Markdown that says what was left out and how it was measured."""
    left_out = _left_out(measurement.excluded)
    measured = [
        f"Commit {code(stored.head_sha)}, on {stored.measured_at:%Y-%m-%d}",
        f"{numbers.counted(measurement.commits, 'commit')} in {measurement.seconds:.1f} s and "
        f"{numbers.size_mb(measurement.peak_rss_mb)} of memory",
        f"Label recipe {code(stored.label_recipe_id)}",
    ]
    if stored.config_hash:
        measured.append(f"With this repository’s own configuration, {code(stored.config_hash)}")
    intro = "Commits that looked like a fix but earned no credit, by reason:" if left_out else ""
    return paragraphs(
        section("What was left out", intro, bullets(left_out), _files(measurement.files)),
        section("Notes", bullets(map(prose, measurement.notes))),
        section("How it was measured", bullets(measured)),
    )


def _files(files: SourceFiles | None) -> str:
    """Say which source files are not read, by rule; empty if none, or if an earlier release measured."""
    if files is None or not files.left_out:
        return ""
    reasons = [f"{prose(reason)}: {numbers.counted(count, 'file')}" for reason, count in files.excluded]
    folders = ", ".join(f"{code(folder.path)} ({numbers.counted(folder.files, 'file')})" for folder in files.folders)
    return paragraphs(
        f"{numbers.counted(files.left_out, 'source file')} left out by path, by rule; {files.read:,} "
        f"{'is' if files.read == 1 else 'are'} read:",
        bullets(reasons),
        f"Largest: {folders}. List product code under `include` in `.github/assay.yml` to have it read.",
    )


def render_failure(stored: StoredScreening, context: ScreenContext) -> str:
    """Return Markdown for a repository that could not be measured."""
    return paragraphs(
        f"**{code(context.repository.full_name)} could not be measured.**",
        f"Reason: {prose(stored.failure)}",
        f"This happened at {short_sha(stored.head_sha)} on {stored.measured_at:%Y-%m-%d}. "
        "Once the cause is fixed, press **Re-screen** above to try again.",
        _configuration(context),
        _ADVICE,
    )


def _opening(measurement: Measurement, judgement: Judgement, context: ScreenContext) -> str:
    it = f"a language model on the bug fixes of {code(context.repository.full_name)}"
    if measurement.obstacle is not None:
        answer = (
            f"Whether fine-tuning {it} is worth the GPU time cannot be told, so the verdict is SKIP: "
            f"{prose(measurement.obstacle.title)}."
        )
    elif not judgement.measurable:
        answer = (
            f"There is not enough data to tell whether fine-tuning {it} is worth the GPU time, so the verdict is SKIP "
            "for now."
        )
    else:
        answer = {
            ("RUN", False): f"Fine-tuning {it} is worth trying.",
            ("RUN", True): f"Fine-tuning {it} may be worth trying. It is a close call: expect a modest result.",
            ("SKIP", True): f"Fine-tuning {it} is probably not worth the GPU time, but it is a close call.",
            ("SKIP", False): f"Fine-tuning {it} is not worth the GPU time.",
        }[judgement.verdict, judgement.near_boundary]
    return paragraphs(f"**{answer}**", _explain(measurement.density))


def _alternative(measurement: Measurement, judgement: Judgement, ranked: bool) -> str:
    """Return what to use instead of fine-tuning; empty if the verdict is RUN or there is nothing to rank."""
    if judgement.verdict == "RUN":
        return ""
    if ranked:
        return (
            f"Use the ranking instead: **{HEADING}**, below, lists the functions and files that are most likely to "
            "need a fix, with the reasons."
        )
    if measurement.density is None:
        return ""
    return "Use the ranking instead: run `assay rank PATH` on a clone to see where to look first, with the reasons."


def _explain(density: Density | None) -> str:
    if density is None:
        return ""
    return (
        f"Its density is {numbers.density(density.value)} (95 % interval "
        f"{numbers.interval(density.low, density.high)}): the mean signal of "
        f"{numbers.counted(density.pairs, 'function')}, from 0 for a function that no fix touched to 1 for one that "
        "fixes touched as much as the ten worst."
    )


def _carried_over(stored: StoredScreening, context: ScreenContext) -> str:
    if stored.head_sha == context.head_sha:
        return ""
    return (
        f"Measured at {short_sha(stored.head_sha)} on {stored.measured_at:%Y-%m-%d} and carried over to this commit. "
        "A repository is measured at most once a day unless its history or configuration changes."
    )


def _position(measurement: Measurement, judgement: Judgement) -> str:
    chart = block(draw_density_chart(measurement.density, judgement.threshold, judgement.standing))
    return section("Where it stands", _CHART, chart, _neighbours(measurement, judgement))


def _neighbours(measurement: Measurement, judgement: Judgement) -> str:
    """Return the nearest outcome on either side, by name."""
    standing, density = judgement.standing, measurement.density
    outcomes = [(value, name, "won") for name, value in standing.winners]
    outcomes += [(value, name, "did not win") for name, value in standing.losers]
    if density is None or not outcomes:
        return ""
    above = min((outcome for outcome in outcomes if outcome[0] >= density.value), default=None)
    below = max((outcome for outcome in outcomes if outcome[0] < density.value), default=None)
    sentences = [
        f"The nearest {side} is {code(outcome[1])} ({numbers.density(outcome[0])}), which {outcome[2]}."
        for side, outcome in (("above", above), ("below", below))
        if outcome
    ]
    if above is None:
        sentences.append("None is denser.")
    if below is None:
        sentences.append("None is less dense.")
    return " ".join(sentences)


def _evidence(measurement: Measurement) -> list[str]:
    windows, density = measurement.windows, measurement.density
    start, middle, end = (numbers.day(at) for at in (windows.train_start, windows.eval_start, windows.as_of))
    fixes, commits = measurement.fix_commits, numbers.counted(measurement.window_commits, "commit")
    lines = [f"{fixes:,} of {commits} between {start} and {middle} {'fixes' if fixes == 1 else 'fix'} a bug."]
    if mix := sorted(measurement.evidence.items(), key=lambda item: (-item[1], item[0])):
        (first, share), *others = mix
        parts = [f"{numbers.share(share)} of their credit comes from {_EVIDENCE[first]}"]
        parts += [f"{numbers.share(share)} from {_EVIDENCE[kind]}" for kind, share in others]
        lines.append(f"{', '.join(parts)}.")
    if density is not None:
        functions = numbers.counted(density.pairs, "function")
        lines.append(f"{density.positives:,} of {functions} ({numbers.share(density.positive_share)}) had such a fix.")
    held_out = numbers.counted(measurement.held_out, "function")
    lines.append(
        f"The period from {middle} to {end} is reserved for judging a run: about {held_out} would be held out, "
        f"{measurement.held_out_positives:,} of them with a fix."
    )
    return [*lines, *_diagnosis(measurement)]


def _diagnosis(measurement: Measurement) -> list[str]:
    """Return why the density is what it is; earlier releases did not measure all of it."""
    diagnosis, density, other = measurement.diagnosis, measurement.density, measurement.other
    lines = [] if diagnosis is None else explain_density(diagnosis, density)
    if other is not None and other.label_recipe in _RECIPES:
        lines.append(compare_recipes(other, density))
    return [*lines, *([prose(measurement.evidence_note)] if measurement.evidence_note else [])]


def _advice(measurement: Measurement) -> list[str]:
    return [] if measurement.diagnosis is None else advice(measurement.diagnosis)


def _borrowed(threshold: Threshold) -> str:
    if threshold.source != "borrowed":
        return ""
    band = numbers.interval(threshold.band_low, threshold.band_high)
    return f"It is borrowed from the recipe of commit messages alone; densities from {band} are too close to call."


def _exceptions(standing: Standing) -> str:
    """Return the outcomes that contradict the threshold, by name."""
    names = [code(name) for name in standing.counterexamples[:_MAX_NAMES]]
    more = len(standing.counterexamples) - len(names)
    if more > 0:
        names.append(f"{more:,} more")
    return f"On the wrong side of it: {', '.join(names)}." if names else ""


def _how_to(measurement: Measurement, judgement: Judgement, context: ScreenContext) -> str:
    runs = judgement.verdict == "RUN"
    if not context.fine_tuning_on:
        advice_against = "" if runs else " The verdict advises against it."
        return f"{_OFF[context.off_because]} {EXPORT_PAIRS}{advice_against}"
    if measurement.obstacle is not None:
        return "Not yet: a run would learn from next to nothing."
    if not judgement.measurable:
        return "Not yet: there is too little data to judge a run by, so its result would be inconclusive."
    if runs:
        comment = ", or comment `/finetune` on an issue" if context.comments_enabled else ""
        return f"Press **Fine-tune** above{comment}."
    if not context.comments_enabled:
        return "The verdict advises against it."
    return (
        "The verdict advises against it. Anyone who may start runs can override it: comment `/finetune --force` on an "
        "issue. The run is then marked as forced."
    )


def _configuration(context: ScreenContext) -> str:
    return section("Configuration", bullets(map(prose, context.config_note.splitlines())))


def _left_out(groups: Sequence[ExcludedCount]) -> list[str]:
    """Name the largest groups and add up the others."""
    lines = [f"{prose(group.reason)}: {numbers.counted(group.commits, 'commit')}" for group in groups[:_MAX_GROUPS]]
    if others := groups[_MAX_GROUPS:]:
        commits = sum(group.commits for group in others)
        lines.append(f"{numbers.counted(len(others), 'other reason')}: {numbers.counted(commits, 'commit')}")
    return lines
