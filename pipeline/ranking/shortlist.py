"""The stored top of a ranking, bounded in size, to and from JSON.

This module imports neither numpy nor the miner at load time, because the web process shows rankings and computes none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.json_fields import Fields
from pipeline.screening.measurement import json_values, plain

if TYPE_CHECKING:
    from pipeline.ranking.rank import Ranked
    from pipeline.ranking.scorer import Scorer, Subject

ELLIPSIS = "…"  # ends truncated text
MAX_FUNCTIONS = 20
MAX_FILES = 10
MAX_REASONS = 8
MAX_PATH_LENGTH = 300
MAX_NAME_LENGTH = 160
MAX_REASON_LENGTH = 120
_MAX_WHOLE = 1 << 62  # commit dates can be anything


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the ranking; for a file, its riskiest function. Texts are printable and truncated with `…`."""

    path: str
    qualified_name: str
    start_line: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retrained:
    """The adapter behind a ranking: its recipe won, and it was retrained on a later window."""

    run_id: str  # of the run that won; plain text
    judged_at: str  # ISO 8601
    trained_from: int  # Unix seconds: the window that its labels come from
    trained_until: int
    model: str  # name of the base model


@dataclass(frozen=True, slots=True)
class Shortlist:
    """The riskiest functions and files of a repository, riskiest first, with totals and the scorer."""

    scorer: str
    ranked_functions: int
    ranked_files: int
    functions: tuple[Place, ...]
    files: tuple[Place, ...]
    retrained: Retrained | None = None  # set if an adapter contributed


def shortlist_of(
    subjects: Sequence[Subject], scorer: Scorer | None = None, retrained: Retrained | None = None
) -> Shortlist:
    """Return the top of the ranking by `scorer` (the baseline if None)."""
    from pipeline.ranking.baseline import Baseline
    from pipeline.ranking.rank import rank_files, rank_functions

    scorer = scorer or Baseline()
    functions, files = rank_functions(subjects, scorer), rank_files(subjects, scorer)
    return Shortlist(
        scorer=scorer.name,
        ranked_functions=len(functions),
        ranked_files=len(files),
        functions=_places(functions[:MAX_FUNCTIONS]),
        files=_places(files[:MAX_FILES]),
        retrained=retrained and _truncate_fields(retrained),
    )


def _places(ranked: Iterable[Ranked]) -> tuple[Place, ...]:
    return tuple(
        Place(
            _truncate(place.path, MAX_PATH_LENGTH),
            _truncate(place.qualified_name, MAX_NAME_LENGTH),
            place.start_line,
            tuple(_truncate(reason, MAX_REASON_LENGTH) for reason in place.reasons[:MAX_REASONS]),
        )
        for place in ranked
    )


def _truncate_fields(retrained: Retrained) -> Retrained:
    return dataclasses.replace(
        retrained,
        run_id=_truncate(retrained.run_id, MAX_NAME_LENGTH),
        judged_at=_truncate(retrained.judged_at, MAX_NAME_LENGTH),
        model=_truncate(retrained.model, MAX_NAME_LENGTH),
    )


def _truncate(text: str, max_length: int) -> str:
    shown = plain(text[: max_length + 1])
    return shown if len(shown) <= max_length else shown[: max_length - 1] + ELLIPSIS


def dump_shortlist(shortlist: Shortlist) -> dict[str, Any]:
    """Return JSON values, with lists for tuples so that they compare equal after a round trip through the database."""
    return json_values(dataclasses.asdict(shortlist))


def load_shortlist(value: object, where: str = "shortlist") -> Shortlist:
    """Parse a shortlist from JSON values, ignoring unknown fields. Raises MalformedError."""
    fields = Fields(value, where)
    return Shortlist(
        scorer=fields.text("scorer"),
        ranked_functions=fields.whole("ranked_functions"),
        ranked_files=fields.whole("ranked_files"),
        functions=_parse_places(fields, "functions", MAX_FUNCTIONS),
        files=_parse_places(fields, "files", MAX_FILES),
        retrained=fields.optional("retrained", lambda: _parse_retrained(fields.inner("retrained"))),
    )


def _parse_retrained(fields: Fields) -> Retrained:
    return Retrained(
        run_id=_bounded_text(fields, "run_id", MAX_NAME_LENGTH),
        judged_at=_bounded_text(fields, "judged_at", MAX_NAME_LENGTH),
        trained_from=fields.whole("trained_from", -_MAX_WHOLE),
        trained_until=fields.whole("trained_until", -_MAX_WHOLE),
        model=_bounded_text(fields, "model", MAX_NAME_LENGTH),
    )


def _parse_places(fields: Fields, key: str, max_places: int) -> tuple[Place, ...]:
    places = tuple(map(_parse_place, fields.objects(key)))
    if len(places) > max_places:
        fields.fail(key, f"expected at most {max_places} places")
    return places


def _parse_place(fields: Fields) -> Place:
    reasons = fields.texts("reasons")
    if len(reasons) > MAX_REASONS:
        fields.fail("reasons", f"expected at most {MAX_REASONS} reasons")
    return Place(
        path=_bounded_text(fields, "path", MAX_PATH_LENGTH),
        qualified_name=_bounded_text(fields, "qualified_name", MAX_NAME_LENGTH),
        start_line=fields.whole("start_line", 1),
        reasons=reasons,
    )


def _bounded_text(fields: Fields, key: str, max_length: int) -> str:
    text = fields.text(key, empty=True)
    if len(text) > max_length:
        fields.fail(key, f"expected at most {max_length} characters")
    return text
