"""What is kept of a ranking: its first places, few and of bounded length, as JSON and back.

Importing this module takes neither numpy nor anything that reads a history: what shows a ranking computes none.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.json_fields import Fields
from pipeline.screening.measurement import plain

if TYPE_CHECKING:
    from pipeline.ranking.rank import Ranked
    from pipeline.ranking.scorer import Scorer, Subject

ELLIPSIS = "…"  # where a text was cut
MOST_FUNCTIONS = 20
MOST_FILES = 10
LONGEST_PATH = 300
LONGEST_NAME = 160
LONGEST_REASON = 120
MOST_REASONS = 8
_HUGE = 1 << 62  # a history may be dated anywhere


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the ranking. Of a file the function is its riskiest one. Texts are printable; cut ones end in `…`."""

    path: str
    qualified_name: str
    start_line: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Retrained:
    """The adapter behind a ranking: its recipe won once, and it was trained once more on a later window."""

    run_id: str  # of the run that was judged; plain text
    judged_at: str  # ISO 8601
    trained_from: int  # seconds since 1970: the window whose labels it learned
    trained_until: int
    model: str  # name of the base model


@dataclass(frozen=True, slots=True)
class Shortlist:
    """The riskiest functions and files of a repository, riskiest first, out of how many, and what ranked them."""

    scorer: str
    ranked_functions: int
    ranked_files: int
    functions: tuple[Place, ...]
    files: tuple[Place, ...]
    retrained: Retrained | None = None  # where an adapter has a part in it


def shortlist_of(
    subjects: Sequence[Subject], scorer: Scorer | None = None, retrained: Retrained | None = None
) -> Shortlist:
    """The first places of the ranking that `scorer` gives, the baseline where None."""
    from pipeline.ranking.baseline import Baseline
    from pipeline.ranking.rank import rank_files, rank_functions

    scorer = scorer or Baseline()
    functions, files = rank_functions(subjects, scorer), rank_files(subjects, scorer)
    return Shortlist(
        scorer=scorer.name,
        ranked_functions=len(functions),
        ranked_files=len(files),
        functions=_places(functions[:MOST_FUNCTIONS]),
        files=_places(files[:MOST_FILES]),
        retrained=retrained and _printable(retrained),
    )


def _places(ranked: Iterable[Ranked]) -> tuple[Place, ...]:
    return tuple(
        Place(
            _kept(each.path, LONGEST_PATH),
            _kept(each.qualified_name, LONGEST_NAME),
            each.start_line,
            tuple(_kept(reason, LONGEST_REASON) for reason in each.reasons[:MOST_REASONS]),
        )
        for each in ranked
    )


def _printable(retrained: Retrained) -> Retrained:
    return dataclasses.replace(
        retrained,
        run_id=_kept(retrained.run_id, LONGEST_NAME),
        judged_at=_kept(retrained.judged_at, LONGEST_NAME),
        model=_kept(retrained.model, LONGEST_NAME),
    )


def _kept(text: str, longest: int) -> str:
    shown = plain(text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + ELLIPSIS


def dump_shortlist(shortlist: Shortlist) -> dict[str, Any]:
    """JSON values: lists for tuples, so that what is compared before and after the database is equal."""
    made: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(shortlist)))
    return made


def load_shortlist(value: object, where: str = "shortlist") -> Shortlist:
    """A shortlist from JSON values; fields that are not known are ignored. Raises MalformedError."""
    fields = Fields(value, where)
    return Shortlist(
        scorer=fields.text("scorer"),
        ranked_functions=fields.whole("ranked_functions"),
        ranked_files=fields.whole("ranked_files"),
        functions=_load_places(fields, "functions", MOST_FUNCTIONS),
        files=_load_places(fields, "files", MOST_FILES),
        retrained=fields.optional("retrained", lambda: _load_retrained(fields.inner("retrained"))),
    )


def _load_retrained(fields: Fields) -> Retrained:
    return Retrained(
        run_id=_bounded(fields, "run_id", LONGEST_NAME),
        judged_at=_bounded(fields, "judged_at", LONGEST_NAME),
        trained_from=fields.whole("trained_from", -_HUGE),
        trained_until=fields.whole("trained_until", -_HUGE),
        model=_bounded(fields, "model", LONGEST_NAME),
    )


def _load_places(fields: Fields, key: str, most: int) -> tuple[Place, ...]:
    places = tuple(map(_load_place, fields.objects(key)))
    if len(places) > most:
        fields.fail(key, f"at most {most} are wanted")
    return places


def _load_place(fields: Fields) -> Place:
    reasons = fields.texts("reasons")
    if len(reasons) > MOST_REASONS:
        fields.fail("reasons", f"at most {MOST_REASONS} are wanted")
    return Place(
        path=_bounded(fields, "path", LONGEST_PATH),
        qualified_name=_bounded(fields, "qualified_name", LONGEST_NAME),
        start_line=fields.whole("start_line", 1),
        reasons=reasons,
    )


def _bounded(fields: Fields, key: str, longest: int) -> str:
    text = fields.text(key, empty=True)
    if len(text) > longest:
        fields.fail(key, f"at most {longest} characters are wanted")
    return text
