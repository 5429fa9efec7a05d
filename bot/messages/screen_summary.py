"""The words of a check run: what a maintainer reads who never heard of Assay. Markdown; everything foreign is inert."""

from __future__ import annotations

from collections.abc import Sequence

from bot.messages.charts import draw_chart
from bot.messages.hotspots import HEADING
from bot.messages.markdown import block, code, prose
from bot.messages.screen_context import ScreenContext
from bot.messages.sections import bullets, joined, section
from bot.messages.what_would_change import what_would_change
from bot.records import StoredScreening
from pipeline.label_recipe import MESSAGES, RECIPES
from pipeline.records import Density, Standing, Threshold
from pipeline.reports import numbers
from pipeline.reports.diagnosis_text import advice, compared, why
from pipeline.screening.measurement import ExcludedCount, Judgement, Measurement
from pipeline.screening.verdict import stand

_MOST_NAMED = 12
_MOST_GROUPS = 5
_RECIPES = frozenset(recipe.name for recipe in RECIPES.values())
_EVIDENCE = {
    "issue": "from linked bug issues",
    "label": "from bug labels",
    "prefix": "from subjects that begin with `fix:`",
    "keyword": "from words such as fix or bug in the subject",
}
_CHART = (
    "Each `o` is a repository that was fine-tuned. It won if the model then ranked its bugs better than a ranking "
    "without learning did. `#` is this one, with its interval."
)
_ADVICE = (
    "This is advice about GPU time. It says nothing about the quality of the code and holds no merge up. "
    "Please never make it a required check."
)


def render_summary(
    stored: StoredScreening, measurement: Measurement, judgement: Judgement, situation: ScreenContext, *, ranked: bool
) -> str:
    """`ranked`: the text below the summary says where to look first."""
    threshold, standing = judgement.threshold, judgement.standing
    rests_on = stand(threshold, standing)
    reasons = [reason for reason in judgement.reasons if reason != rests_on]
    sections = [
        _opening(measurement, judgement, situation),
        _instead(measurement, judgement, ranked),
        _carried_note(stored, situation),
        _where(measurement, judgement),
        section("What counted as evidence", bullets(_evidence(measurement))),
        section("Why this verdict", bullets(map(prose, reasons))),
        section("What would change it", bullets([*what_would_change(measurement, threshold), *_advised(measurement)])),
        section("What the threshold rests on", prose(rests_on), _borrowed(threshold), _exceptions(standing)),
        section("How to fine-tune", _how_to(judgement, situation)),
        section("Configuration", bullets(prose(line) for line in situation.config_note.splitlines())),
        _ADVICE,
    ]
    return joined(*sections)


def _opening(measurement: Measurement, judgement: Judgement, situation: ScreenContext) -> str:
    it = f"a language model on the bug fixes of {code(situation.repository.full_name)}"
    if not judgement.measurable:
        answer = f"Whether fine-tuning {it} is worth the GPU time cannot be told yet, so the answer is no for now."
    else:
        answer = {
            ("RUN", False): f"Fine-tuning {it} is worth trying.",
            ("RUN", True): f"Fine-tuning {it} may be worth trying. It is close: expect a modest result.",
            ("SKIP", True): f"Fine-tuning {it} is probably not worth the GPU time. It is close.",
            ("SKIP", False): f"Fine-tuning {it} is not worth the GPU time.",
        }[judgement.verdict, judgement.near_boundary]
    return f"**{answer}**\n\n{_density_explained(measurement.density)}".rstrip()


def _instead(measurement: Measurement, judgement: Judgement, ranked: bool) -> str:
    """What helps where fine-tuning does not; for a verdict to fine-tune the list below stands for itself."""
    if judgement.verdict == "RUN":
        return ""
    if ranked:
        return (
            f"Use the ranking instead: **{HEADING}**, below, names the functions and files that are likeliest to need "
            "a fix, with the reasons."
        )
    if measurement.density is None:
        return ""
    return "Use the ranking instead: `assay rank PATH`, run on a clone, says where to look first, with the reasons."


def _density_explained(density: Density | None) -> str:
    if density is None:
        return ""
    return (
        f"The density is {numbers.density(density.value)}, with a 95 % interval from {numbers.density(density.low)} "
        f"to {numbers.density(density.high)}. It is the mean signal of {numbers.counted(density.pairs, 'function')}: "
        "0 where no fix touched the function, 1 where fixes touched it as much as the ten worst."
    )


def _carried_note(stored: StoredScreening, situation: ScreenContext) -> str:
    if stored.head_sha == situation.head_sha:
        return ""
    return (
        f"Measured at {code(stored.head_sha[:7])} on {stored.measured_at:%Y-%m-%d} and carried to this commit. "
        "A repository is measured at most once a day, unless its history or configuration changes."
    )


def _where(measurement: Measurement, judgement: Judgement) -> str:
    chart = block(draw_chart(measurement.density, judgement.threshold, judgement.standing))
    return section("Where it stands", _CHART, chart, _stands(judgement, measurement))


def _stands(judgement: Judgement, measurement: Measurement) -> str:
    """The two neighbours among the outcomes, by name."""
    standing, density = judgement.standing, measurement.density
    outcomes = [(value, name, "won") for name, value in standing.winners]
    outcomes += [(value, name, "did not win") for name, value in standing.losers]
    if density is None or not outcomes:
        return ""
    denser = min((o for o in outcomes if o[0] >= density.value), default=None)
    thinner = max((o for o in outcomes if o[0] < density.value), default=None)
    said = [
        f"{side} is {code(o[1])} ({numbers.density(o[0])}), which {o[2]}"
        for side, o in (("next above", denser), ("next below", thinner))
        if o
    ]
    end = "" if denser and thinner else f" None is {'denser' if thinner else 'thinner'}."
    sentence = "; ".join(said)
    return f"{sentence[0].upper()}{sentence[1:]}.{end}"


def _evidence(measurement: Measurement) -> list[str]:
    windows, density = measurement.windows, measurement.density
    start, middle, end = (numbers.day(at) for at in (windows.train_start, windows.eval_start, windows.as_of))
    found = [
        f"{numbers.counted(measurement.fix_commits, 'commit')} of {measurement.window_commits:,} between {start} and "
        f"{middle} {'fixes' if measurement.fix_commits == 1 else 'fix'} a bug."
    ]
    if mix := sorted(measurement.evidence.items(), key=lambda item: (-item[1], item[0])):
        parts = ", ".join(f"{numbers.share(part)} comes {_EVIDENCE[kind]}" for kind, part in mix)
        found.append(f"Of the credit for them, {parts}.")
    if density is not None:
        found.append(
            f"{density.positives:,} of {numbers.counted(density.pairs, 'function')} had such a fix "
            f"({numbers.share(density.positive_share)})."
        )
    found.append(
        f"The time from {middle} to {end} is kept to judge a run: about "
        f"{numbers.counted(measurement.held_out, 'function')} would be held out, {measurement.held_out_positives:,} "
        "of them with a fix."
    )
    return [*found, *_diagnosed(measurement)]


def _diagnosed(measurement: Measurement) -> list[str]:
    """Why the density is what it is, and what issues and pull requests say; nothing of what was not measured then."""
    diagnosis, density, other = measurement.diagnosis, measurement.density, measurement.other
    found = [] if diagnosis is None else why(diagnosis, density)
    if other is not None and other.label_recipe in _RECIPES:
        found.append(compared(other, density))
    return [*filter(None, found), *([prose(measurement.evidence_note)] if measurement.evidence_note else [])]


def _advised(measurement: Measurement) -> list[str]:
    return [] if measurement.diagnosis is None else advice(measurement.diagnosis)


def _borrowed(threshold: Threshold) -> str:
    if threshold.source != "borrowed":
        return ""
    low, high = numbers.density(threshold.band_low), numbers.density(threshold.band_high)
    return f"It is borrowed from the recipe {code(MESSAGES.name)}: too close to call from {low} to {high}."


def _exceptions(standing: Standing) -> str:
    """The outcomes that contradict the threshold, by name."""
    names = [code(name) for name in standing.counterexamples[:_MOST_NAMED]]
    more = len(standing.counterexamples) - len(names)
    if more > 0:
        names.append(f"{more:,} more")
    return f"On the wrong side of it: {', '.join(names)}." if names else ""


def _how_to(judgement: Judgement, situation: ScreenContext) -> str:
    runs = judgement.verdict == "RUN"
    if not situation.fine_tuning_on:
        return _elsewhere(situation) + ("" if runs else " The verdict advises against it.")
    if not judgement.measurable:
        return "It would be of no use now: there is too little to judge a run by, so nobody could tell what came of it."
    if runs:
        comment = ", or comment `/finetune` on an issue" if situation.hears_comments else ""
        return f"Press **Fine-tune** above{comment}."
    if not situation.hears_comments:
        return "The verdict advises against it."
    return (
        "The verdict advises against it. Whoever may give commands can have it all the same: comment "
        "`/finetune --force` on an issue. The run is then marked as forced."
    )


_OFF = {
    "server": "This server does not fine-tune.",
    "budget": "Fine-tuning is off here: whoever runs this server gave this account no GPU minutes.",
    "configuration": "Fine-tuning is switched off by the configuration of this repository or of its organization.",
}


def _elsewhere(situation: ScreenContext) -> str:
    return (
        f"{_OFF[situation.off_because]} `assay pairs PATH --out pairs.parquet`, run on a clone, writes the functions "
        "with their signals, and you can train on that file wherever you have a GPU."
    )


def render_details(stored: StoredScreening, measurement: Measurement) -> str:
    """What was left out and how it was measured: for who wants to check."""
    left_out = _left_out(measurement.excluded)
    measured = [
        f"Commit {code(stored.head_sha)}, on {stored.measured_at:%Y-%m-%d}",
        f"{numbers.counted(measurement.commits, 'commit')} in {measurement.seconds:.1f} s and "
        f"{numbers.size_mb(measurement.peak_rss_mb)} of memory",
        f"Label recipe {code(stored.label_recipe_id)}",
    ]
    if stored.config_hash:
        measured.append(f"With this repository’s own configuration, {code(stored.config_hash)}")
    looked = "Commits that looked like a fix and gave no credit, by reason:" if left_out else ""
    sections = [
        section("What was left out", looked, bullets(left_out)),
        section("Notes", bullets(map(prose, measurement.notes))),
        section("How it was measured", bullets(measured)),
    ]
    return joined(*sections)


def _left_out(groups: Sequence[ExcludedCount]) -> list[str]:
    """The largest groups by name, the others together."""
    found = [f"{prose(group.reason)}: {numbers.counted(group.commits, 'commit')}" for group in groups[:_MOST_GROUPS]]
    if others := groups[_MOST_GROUPS:]:
        commits = sum(group.commits for group in others)
        found.append(f"for {numbers.counted(len(others), 'other reason')}: {numbers.counted(commits, 'commit')}")
    return found


def render_failure(stored: StoredScreening, situation: ScreenContext) -> str:
    return joined(
        f"**{code(situation.repository.full_name)} could not be measured.**",
        f"The reason: {prose(stored.failure)}",
        f"It was tried at {code(stored.head_sha[:7])} on {stored.measured_at:%Y-%m-%d}. "
        "Once the cause is gone, press **Re-screen** above to try again.",
        section("Configuration", bullets(prose(line) for line in situation.config_note.splitlines())),
        _ADVICE,
    )
