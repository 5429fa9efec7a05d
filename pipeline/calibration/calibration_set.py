"""The calibration set as it stands: what the ledger's lines add up to, and what changes when one is added.

Pure functions of the ledger's entries and the seed data; reading and writing them is `ledger.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.calibration.ledger_entries import Adopted, Entry, Excluded, Included, Moved, Prediction, Recorded
from pipeline.calibration.seed_records import Seed
from pipeline.calibration.threshold import Calibration, Share, borrow, decided, fit, is_win, share
from pipeline.records import AssayError, Outcome, Threshold


@dataclass(frozen=True)
class CalibrationSet:
    """Everything the ledger remembers, and the seed outcomes and threshold of each label recipe that has some."""

    deciding: str  # the label recipe that decides
    outcomes: tuple[Outcome, ...]  # of all label recipes, seed first, exclusions applied
    exclusions: Mapping[str, str]  # repository -> reason
    seed_thresholds: Mapping[str, Threshold]  # by label recipe
    messages_id: str  # the label recipe of the shipped seed, which others borrow from
    previous: Mapping[str, float] = field(default_factory=dict)  # the newest threshold of each label recipe
    predictions: tuple[Prediction, ...] = ()  # oldest first
    history: tuple[Entry, ...] = ()
    pinned: bool = False
    base_model_family: str | None = None  # whose outcomes count; none: of all families

    def of_recipe(self, label_recipe_id: str) -> tuple[Outcome, ...]:
        return tuple(o for o in self.outcomes if o.label_recipe_id == label_recipe_id)

    def calibrate(self, label_recipe_id: str | None = None) -> Calibration:
        """The calibration of the deciding label recipe, or of another one."""
        recipe = label_recipe_id or self.deciding
        return fit(
            self.outcomes,
            previous=self._in_force(recipe),
            seed_threshold=self._stand_in(recipe),
            label_recipe_id=recipe,
            base_model_family=self.base_model_family,
        )

    def _in_force(self, recipe: str) -> float | None:
        """The threshold before this fit, which decides ties: the last one recorded, else the seed's."""
        shipped = self.seed_thresholds.get(recipe)
        return self.previous.get(recipe, shipped.value if shipped else None)

    def _stand_in(self, recipe: str) -> Threshold | None:
        """What answers where the set lacks a class: the recipe's own seed, else the threshold of `messages`."""
        if recipe in self.seed_thresholds or recipe == self.messages_id:
            return self.seed_thresholds.get(recipe)
        return borrow(self.calibrate(self.messages_id).threshold)


def replay(entries: Sequence[Entry], seed: Seed) -> CalibrationSet:
    """The set after all entries. Until a label recipe was adopted, that of the shipped seed decides."""
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
    seeds[seed.label_recipe_id], thresholds[seed.label_recipe_id] = seed.outcomes(), seed.threshold
    own = [outcome for entry in entries if isinstance(entry, Recorded) for outcome in entry.outcomes]
    shipped = [outcome for outcomes in seeds.values() for outcome in outcomes]
    return CalibrationSet(
        deciding=deciding,
        outcomes=tuple(_exclude(outcome, exclusions) for outcome in _distinct(shipped + own)),
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
    """The line that lets a label recipe decide, with its seed where the shipped one is its own."""
    own = seed.label_recipe_id == label_recipe_id
    return Adopted(at, label_recipe_id, seed.outcomes() if own else (), seed.threshold if own else None)


@dataclass(frozen=True, slots=True)
class Flip:
    """A repository whose verdict another threshold turns."""

    repo: str
    density_before: float
    density_after: float
    verdict_before: str
    verdict_after: str


@dataclass(frozen=True, slots=True)
class Change:
    """What replacing one calibration by another does to the newest predictions."""

    before: Calibration
    after: Calibration
    flips: tuple[Flip, ...]
    not_measured: tuple[str, ...]  # known under the old label recipe, not yet screened under the new one


def change(predictions: Sequence[Prediction], before: Calibration, after: Calibration) -> Change:
    """The flips between two calibrations, which may be of different label recipes: each judges its own densities."""
    old = _newest(predictions, before.label_recipe_id)
    new = _newest(predictions, after.label_recipe_id)
    flips = []
    for repo in sorted(old.keys() & new.keys()):
        was, now = _verdict(old[repo], before.threshold), _verdict(new[repo], after.threshold)
        if was != now:
            flips.append(Flip(repo, old[repo].density or 0.0, new[repo].density or 0.0, was, now))
    return Change(before, after, tuple(flips), tuple(sorted(old.keys() - new.keys())))


def _newest(predictions: Sequence[Prediction], label_recipe_id: str) -> dict[str, Prediction]:
    return {p.repo: p for p in predictions if p.label_recipe_id == label_recipe_id}


def _verdict(prediction: Prediction, threshold: Threshold) -> str:
    runs = prediction.measurable and prediction.density is not None and prediction.density >= threshold.value
    return "RUN" if runs else "SKIP"


@dataclass(frozen=True, slots=True)
class Settled:
    """A prediction whose outcome came in later."""

    prediction: Prediction
    outcome: Outcome

    @property
    def right(self) -> bool:
        return (self.prediction.verdict == "RUN") == is_win(self.outcome)


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """How the predictions of one label recipe have done: what would falsify the screener."""

    settled: tuple[Settled, ...]  # one a repository
    false_positives: tuple[str, ...]  # RUN, and the adapter lost
    false_negatives: tuple[str, ...]  # SKIP, and the adapter won
    accuracy: Share | None


def track_record(calibration_set: CalibrationSet, label_recipe_id: str) -> TrackRecord:
    """Each measured conclusive outcome against the newest prediction that stood before it was known."""
    settled: dict[str, Settled] = {}
    standing: dict[str, list[Prediction]] = {}
    for entry in calibration_set.history:
        if isinstance(entry, Prediction) and entry.label_recipe_id == label_recipe_id:
            standing.setdefault(entry.repo, []).append(entry)
        elif isinstance(entry, Recorded):
            for outcome in entry.outcomes:
                prediction = _before(standing.get(outcome.repo, ()), outcome)
                if prediction and _settles(outcome, label_recipe_id, calibration_set.exclusions):
                    settled[outcome.repo] = Settled(prediction, outcome)
    found = tuple(settled[repo] for repo in sorted(settled))
    wrong = [s for s in found if not s.right]
    return TrackRecord(
        settled=found,
        false_positives=tuple(s.prediction.repo for s in wrong if s.prediction.verdict == "RUN"),
        false_negatives=tuple(s.prediction.repo for s in wrong if s.prediction.verdict == "SKIP"),
        accuracy=share(len(found) - len(wrong), len(found)) if found else None,
    )


def _settles(outcome: Outcome, label_recipe_id: str, exclusions: Mapping[str, str]) -> bool:
    counts = outcome.provenance == "measured" and outcome.outcome != "INCONCLUSIVE"
    excluded = outcome.repo in exclusions or outcome.excluded_because
    return counts and not excluded and outcome.label_recipe_id == label_recipe_id


def _before(predictions: Sequence[Prediction], outcome: Outcome) -> Prediction | None:
    """The newest prediction made before the outcome was decided: a later one may have known it."""
    known_at = decided(outcome.decided_at) if outcome.decided_at else None
    earlier = [p for p in predictions if known_at is None or decided(p.at) <= known_at]
    return earlier[-1] if earlier else None


def require_known(calibration_set: CalibrationSet, repo: str) -> None:
    """Raises AssayError with the names there are, where `repo` has no outcome."""
    known = sorted({o.repo for o in calibration_set.outcomes})
    if repo not in known:
        shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        raise AssayError(f"{repo} is not in the calibration set, which has: {shown or 'nothing yet'}")
