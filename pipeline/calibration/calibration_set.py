"""The calibration set that results from replaying the ledger, and the effect of changing it.

Pure functions of ledger entries and seed data; `ledger.py` reads and writes the entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.calibration.ledger_entries import Adopted, Entry, Excluded, Included, Moved, Prediction, Recorded
from pipeline.calibration.seed_records import Seed
from pipeline.calibration.threshold import Calibration, Share, borrow, fit, is_win, parse_time, share
from pipeline.label_recipe import RECIPES, by_messages
from pipeline.records import AssayError, Outcome, Threshold


@dataclass(frozen=True)
class CalibrationSet:
    """The state of the ledger, together with the seed outcomes and threshold of each label recipe that has a seed."""

    deciding: str  # id of the label recipe that decides verdicts
    outcomes: tuple[Outcome, ...]  # of all label recipes, seed outcomes first, exclusions applied
    exclusions: Mapping[str, str]  # repository -> reason
    seed_thresholds: Mapping[str, Threshold]  # by label recipe
    messages_id: str  # label recipe of the shipped seed
    previous: Mapping[str, float] = field(default_factory=dict)  # newest threshold by label recipe
    predictions: tuple[Prediction, ...] = ()  # oldest first
    history: tuple[Entry, ...] = ()
    pinned: bool = False
    base_model_family: str | None = None  # only its outcomes count; None: those of all families

    def of_recipe(self, label_recipe_id: str) -> tuple[Outcome, ...]:
        """Return the outcomes measured under a label recipe."""
        return tuple(o for o in self.outcomes if o.label_recipe_id == label_recipe_id)

    def calibrate(self, label_recipe_id: str | None = None) -> Calibration:
        """Fit the threshold of a label recipe, by default the deciding one."""
        recipe = label_recipe_id or self.deciding
        return fit(
            self.outcomes,
            previous=self._current_threshold(recipe),
            seed_threshold=self._fallback(recipe),
            label_recipe_id=recipe,
            base_model_family=self.base_model_family,
        )

    def _current_threshold(self, recipe: str) -> float | None:
        """Return the last recorded threshold, else that of the seed; it decides ties of the next fit."""
        shipped = self.seed_thresholds.get(recipe)
        return self.previous.get(recipe, shipped.value if shipped else None)

    def _fallback(self, recipe: str) -> Threshold | None:
        """Return the threshold to use if a class is missing: the recipe's own seed, else that of `messages`."""
        lender = self.lender(recipe)
        return borrow(self.calibrate(lender).threshold) if lender else self.seed_thresholds.get(recipe)

    def lender(self, recipe: str) -> str | None:
        """Return the label recipe whose threshold a recipe without a seed borrows: that of commit messages alone."""
        known = RECIPES.get(recipe)
        lender = by_messages(known).id if known else self.messages_id
        if lender not in self.seed_thresholds:
            lender = self.messages_id
        return None if recipe in self.seed_thresholds or recipe == lender else lender


def replay(entries: Sequence[Entry], seed: Seed) -> CalibrationSet:
    """Return the set after all entries. Until a label recipe is adopted, that of the shipped seed decides."""
    seeds: dict[str, tuple[Outcome, ...]] = {}
    thresholds: dict[str, Threshold] = {}
    exclusions: dict[str, str] = {}
    previous: dict[str, float] = {}
    deciding = seed.label_recipe_id
    for entry in entries:
        if isinstance(entry, Adopted):
            deciding = entry.label_recipe_id
            if entry.seed_threshold is not None:
                seeds[deciding], thresholds[deciding] = entry.seed_outcomes, entry.seed_threshold
        elif isinstance(entry, Excluded):
            exclusions[entry.repo] = entry.reason
        elif isinstance(entry, Included):
            exclusions.pop(entry.repo, None)
        elif isinstance(entry, Moved):
            previous[entry.label_recipe_id] = entry.threshold
    for shipped_seed in (*seed.earlier, seed):
        seeds[shipped_seed.label_recipe_id] = shipped_seed.outcomes()
        thresholds[shipped_seed.label_recipe_id] = shipped_seed.threshold
    recorded = [outcome for entry in entries if isinstance(entry, Recorded) for outcome in entry.outcomes]
    shipped = [outcome for outcomes in seeds.values() for outcome in outcomes]
    return CalibrationSet(
        deciding=deciding,
        outcomes=tuple(_exclude(outcome, exclusions) for outcome in _distinct(shipped + recorded)),
        exclusions=exclusions,
        seed_thresholds=thresholds,
        messages_id=seed.label_recipe_id,
        previous=previous,
        predictions=tuple(entry for entry in entries if isinstance(entry, Prediction)),
        history=tuple(entries),
        pinned=any(isinstance(entry, Adopted) for entry in entries),
    )


def _exclude(outcome: Outcome, exclusions: Mapping[str, str]) -> Outcome:
    return replace(outcome, excluded_because=exclusions.get(outcome.repo, outcome.excluded_because))


def _distinct(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    return tuple(dict.fromkeys(outcomes))


def adoption(seed: Seed, label_recipe_id: str, at: str) -> Adopted:
    """Return the entry that adopts a label recipe, including the shipped seed if it was measured under that recipe."""
    own = next((s for s in (seed, *seed.earlier) if s.label_recipe_id == label_recipe_id), None)
    return Adopted(at, label_recipe_id, own.outcomes() if own else (), own.threshold if own else None)


@dataclass(frozen=True, slots=True)
class Flip:
    """A repository whose verdict changes with the threshold."""

    repo: str
    density_before: float
    density_after: float
    verdict_before: str
    verdict_after: str


@dataclass(frozen=True, slots=True)
class Change:
    """The effect on the newest predictions of replacing one calibration by another."""

    before: Calibration
    after: Calibration
    flips: tuple[Flip, ...]
    not_measured: tuple[str, ...]  # predicted under the old label recipe, not yet screened under the new one


def change(predictions: Sequence[Prediction], before: Calibration, after: Calibration) -> Change:
    """Compare two calibrations; if their label recipes differ, each judges the densities measured under its own."""
    old = _newest(predictions, before.label_recipe_id)
    new = _newest(predictions, after.label_recipe_id)
    flips = []
    for repo in sorted(old.keys() & new.keys()):
        old_verdict, new_verdict = _verdict(old[repo], before.threshold), _verdict(new[repo], after.threshold)
        if old_verdict != new_verdict:
            flips.append(Flip(repo, old[repo].density or 0.0, new[repo].density or 0.0, old_verdict, new_verdict))
    return Change(before, after, tuple(flips), tuple(sorted(old.keys() - new.keys())))


def _newest(predictions: Sequence[Prediction], label_recipe_id: str) -> dict[str, Prediction]:
    return {p.repo: p for p in predictions if p.label_recipe_id == label_recipe_id}


def _verdict(prediction: Prediction, threshold: Threshold) -> str:
    runs = prediction.measurable and prediction.density is not None and prediction.density >= threshold.value
    return "RUN" if runs else "SKIP"


@dataclass(frozen=True, slots=True)
class Settled:
    """A prediction and the outcome that settled it."""

    prediction: Prediction
    outcome: Outcome

    @property
    def right(self) -> bool:
        return (self.prediction.verdict == "RUN") == is_win(self.outcome)


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """How the predictions of one label recipe turned out; this is what could falsify the screener."""

    settled: tuple[Settled, ...]  # one per repository
    false_positives: tuple[str, ...]  # RUN, and the adapter lost
    false_negatives: tuple[str, ...]  # SKIP, and the adapter won
    accuracy: Share | None


def track_record(calibration_set: CalibrationSet, label_recipe_id: str) -> TrackRecord:
    """Compare each measured, conclusive outcome with the newest prediction made before it was known."""
    settled: dict[str, Settled] = {}
    predictions: dict[str, list[Prediction]] = {}
    for entry in calibration_set.history:
        if isinstance(entry, Prediction) and entry.label_recipe_id == label_recipe_id:
            predictions.setdefault(entry.repo, []).append(entry)
        elif isinstance(entry, Recorded):
            for outcome in entry.outcomes:
                prediction = _newest_before(predictions.get(outcome.repo, ()), outcome)
                if prediction and _settles(outcome, label_recipe_id, calibration_set.exclusions):
                    settled[outcome.repo] = Settled(prediction, outcome)
    ordered = tuple(settled[repo] for repo in sorted(settled))
    wrong = [s for s in ordered if not s.right]
    return TrackRecord(
        settled=ordered,
        false_positives=tuple(s.prediction.repo for s in wrong if s.prediction.verdict == "RUN"),
        false_negatives=tuple(s.prediction.repo for s in wrong if s.prediction.verdict == "SKIP"),
        accuracy=share(len(ordered) - len(wrong), len(ordered)) if ordered else None,
    )


def _settles(outcome: Outcome, label_recipe_id: str, exclusions: Mapping[str, str]) -> bool:
    counts = outcome.provenance == "measured" and outcome.outcome != "INCONCLUSIVE"
    excluded = outcome.repo in exclusions or outcome.excluded_because
    return counts and not excluded and outcome.label_recipe_id == label_recipe_id


def _newest_before(predictions: Sequence[Prediction], outcome: Outcome) -> Prediction | None:
    """Return the newest prediction made before the outcome was decided, so that it cannot have known the outcome."""
    known_at = parse_time(outcome.decided_at) if outcome.decided_at else None
    earlier = [p for p in predictions if known_at is None or parse_time(p.at) <= known_at]
    return earlier[-1] if earlier else None


def require_known(calibration_set: CalibrationSet, repo: str) -> None:
    """Raise AssayError with the known names if `repo` has no outcome."""
    known = sorted({o.repo for o in calibration_set.outcomes})
    if repo not in known:
        shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        raise AssayError(f"{repo} is not in the calibration set, which has: {shown or 'nothing yet'}")
