"""Whether what the demo showed is true: figures of check runs against what is stored, and what follows from that."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.calibration.threshold import fit
from pipeline.label_recipe import MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.ranking.outcome import is_win
from pipeline.records import Outcome
from pipeline.reports import numbers
from tests.builders.demo_calibration import FIRST_THRESHOLD, threshold_after_a_win
from tests.flows.demo_scenes import Scene, check_verdicts

if TYPE_CHECKING:  # whose module needs torch
    from tests.flows.demo_loop import Played

BY_THE_ADAPTER = "by a language model that was fine-tuned on this repository"
_TINY = 1e-12


def wrong_with(played: Played, scenes: Sequence[Scene]) -> Iterator[str]:
    """Everything that is not as the whole story has it."""
    yield from check_verdicts(scenes, played.known_before, played.screens_before)
    yield from _wrong_with_the_run(played)
    yield from _wrong_with_the_words(played)
    yield from _wrong_with_the_threshold(played, scenes)
    yield from _wrong_with_the_flips(played, scenes)
    yield from _wrong_with_the_ending(played)


def _wrong_with_the_run(played: Played) -> Iterator[str]:
    """The stored result, by itself."""
    result = played.result
    adapter, baseline, delta = (result[name] for name in ("rho_adapter", "rho_baseline", "delta"))
    if result["outcome"] != "WIN" or result["control"] or not is_win(adapter, adapter - baseline):
        yield f"the run came to {result['outcome']} (ρ {adapter} against {baseline}), not to a WIN"
    if not math.isclose(delta, adapter - baseline, abs_tol=_TINY):
        yield f"Δρ is {delta} in the stored result, and {adapter} - {baseline} by its own figures"
    if result["n"] < MIN_HELD_OUT or result["positives"] < MIN_HELD_OUT_POSITIVES:
        yield f"{result['n']} held-out functions, {result['positives']} of them fixed: too few to judge by"
    if result["head_sha"] != played.head_sha:
        yield "the run was not of the commit that was pinned"


def _wrong_with_the_words(played: Played) -> Iterator[str]:
    """What GitHub shows of the run, against the stored result."""
    if len(played.finetunes) != 1:
        yield f"{len(played.finetunes)} check runs assay/finetune, not one"
        return
    (run,), result = played.finetunes, played.result
    if run["conclusion"] != "success" or run["head_sha"] != played.head_sha:
        yield f"assay/finetune was posted as {run['conclusion']} at {run['head_sha']}"
    for name, signed in (("rho_adapter", False), ("rho_baseline", False), ("delta", True)):
        figure = numbers.rho(result[name], signed=signed)
        if figure not in run["output"]["summary"]:
            yield f"{name} is {figure} in the stored result, and that is not in the check run"
    moved = (played.calibration_before["threshold"], played.calibration_after["threshold"])
    words = f"moved from {numbers.density(moved[0])} to {numbers.density(moved[1])}; 1 of 3 verdicts flipped"
    if words not in run["output"]["summary"]:
        yield f"the check run does not say: {words}"


def _wrong_with_the_threshold(played: Played, scenes: Sequence[Scene]) -> Iterator[str]:
    """Against the mechanical rule, fitted again to the ledger, and against what was worked out by hand."""
    by_hand = (FIRST_THRESHOLD, threshold_after_a_win(scenes[0].story.density))
    for when, shown, expected in zip(
        ("before", "after"), (played.calibration_before, played.calibration_after), by_hand, strict=True
    ):
        if not math.isclose(shown["threshold"], fitted(shown), abs_tol=_TINY):
            yield f"the threshold {when} is {shown['threshold']}, and {fitted(shown)} by the outcomes in the ledger"
        if not math.isclose(shown["threshold"], expected, abs_tol=1e-9):
            yield f"the threshold {when} is {shown['threshold']}, and {expected} by hand"
    joined = [o for o in played.calibration_after["outcomes"] if o not in played.calibration_before["outcomes"]]
    of_the_run = [(o["outcome"], o["rho_adapter"]) for o in joined if o["repo"].endswith(scenes[0].story.name)]
    if of_the_run != [(played.result["outcome"], played.result["rho_adapter"])]:
        yield f"what joined the ledger is not what the run found: {joined}"
    for version in played.versions["versions"]:
        if version["recomputed"] != "the same":
            yield f"calibration version {version['version']} does not follow from its inputs: {version['recomputed']}"


def fitted(shown: Mapping[str, Any]) -> float:
    """The threshold of the outcomes that `assay calibration show` lists, by the rule."""
    outcomes = [
        Outcome(
            repo=row["repo"],
            density=row["density"],
            outcome=row["outcome"],
            provenance=row["provenance"],
            label_recipe_id=shown["label_recipe_id"],
            decided_at=row["decided_at"] or "",
            base_model_family=row["base_model_family"],
            excluded_because=row["excluded_because"] or "",
        )
        for row in shown["outcomes"]
    ]
    family = shown.get("base_model_family")
    return fit(outcomes, label_recipe_id=shown["label_recipe_id"], base_model_family=family).threshold.value


def _wrong_with_the_flips(played: Played, scenes: Sequence[Scene]) -> Iterator[str]:
    """The second repository turns to RUN and is posted again; no other verdict turns. The adapter ranks the first."""
    subject, flipped, calm = (scene.story.name for scene in scenes)
    conclusions = {name: [run["conclusion"] for run in runs] for name, runs in played.screens_after.items()}
    if conclusions[flipped] != ["neutral", "success"]:
        yield f"{flipped} was posted as {conclusions[flipped]}, not as neutral and then as success"
    if conclusions[calm] != ["neutral"]:
        yield f"{calm} was posted as {conclusions[calm]}, not once as neutral"
    if conclusions[subject] != ["success", "success"]:
        yield f"{subject} was posted as {conclusions[subject]}, not as success and then again, ranked by the adapter"
    elif BY_THE_ADAPTER not in played.screens_after[subject][1]["output"]["text"]:
        yield f"{subject}: the ranking is not the adapter's"
    verdicts = {row["repository"].partition("/")[2]: row["verdict"] for row in played.known_after}
    expected = dict(zip((scene.story.name for scene in scenes), ("RUN", "RUN", "SKIP"), strict=True))
    if verdicts != expected:
        yield f"the verdicts after it are {verdicts}, not {expected}"


def _wrong_with_the_ending(played: Played) -> Iterator[str]:
    if list(played.reactions) != ["eyes", "rocket"]:
        yield f"the App reacted with {list(played.reactions)}, not with eyes and then rocket"
    if played.comments != 1:
        yield f"{played.comments} comments of the App, not one that is edited"
    for word in ("Queued", "Running", str(played.result["outcome"])):
        if not any(word in text for text in played.replies):
            yield f"no text of the reply says {word}"
    for name, runs in (*played.screens_after.items(), ("assay/finetune", played.finetunes)):
        if any(run["status"] != "completed" for run in runs):
            yield f"{name}: a check run is not completed"
    if any(played.exits):
        yield f"the processes of Assay ended with {list(played.exits)}"
