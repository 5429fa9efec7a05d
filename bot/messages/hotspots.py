"""The section "Look here first" of a check run: the riskiest functions and files, with reasons and links to the code.

It is a list rather than a table: a pipe in a name would have to be escaped, and so would a backslash before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from bot.messages.markdown import code, numbered, prose, section
from bot.messages.run_text import with_interval
from bot.messages.screen_context import ScreenContext, WonAdapter
from bot.records import StoredScreening
from pipeline.json_fields import MalformedError
from pipeline.ranking.shortlist import ELLIPSIS, Place, Retrained, Shortlist, load_shortlist
from pipeline.reports import numbers
from pipeline.reports.finetune_figures import ADAPTER, BASELINE, BLEND, Measured

HEADING: Final = "Look here first"
MAX_NAME: Final = 80
MAX_PATH: Final = 100
MAX_URL: Final = 1_000

_NAME: Final = re.compile(r"(?!\.+/)[\w.-]{1,100}/(?!\.+$)[\w.-]{1,100}", re.ASCII)
_SHA: Final = re.compile(r"[0-9a-f]{40}")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_REPLACEMENT: Final = "\ufffd"  # for an undecodable character: the path is not the file's own

_BY_BASELINE: Final = (
    "Ranked by a fixed formula over the size and structure of the code and over its past changes and fixes, the same "
    "for every repository. Assay’s `docs/concepts/ranking.md` explains it and says how good it is."
)
_BY_ADAPTER: Final = {
    ADAPTER: "Ranked by a language model that was fine-tuned on this repository’s bug fixes.",
    BLEND: "Ranked half by a language model that was fine-tuned on this repository’s bug fixes and half by recent "
    "changes.",
}
_NO_DEFECTS: Final = "This is not a list of defects: it shows where looking is most likely to pay off."

Link = Callable[[str, str, int], str]


def render_hotspots(stored: StoredScreening, context: ScreenContext) -> str:
    """Return Markdown; empty if nothing was ranked or the check run does not show rankings."""
    if stored.ranking is None or not context.shows_ranking:
        return ""
    try:
        shortlist = load_shortlist(stored.ranking)
    except MalformedError:  # of another release: the verdict is posted without it
        return ""
    if not shortlist.functions:
        return ""
    return _section(shortlist, _linker(context, stored.head_sha), context.adapter)


def _section(shortlist: Shortlist, link: Link, adapter: WonAdapter | None) -> str:
    functions, files = shortlist.functions, shortlist.files
    ranked = _count(functions, shortlist.ranked_functions, "function")
    return section(
        HEADING,
        f"{ranked} by risk of needing a fix. {_scorer(shortlist, adapter)} {_NO_DEFECTS}",
        _why_baseline(shortlist, adapter),
        numbered(_function(place, link) for place in functions),
        f"{_count(files, shortlist.ranked_files, 'file')}, each with its riskiest function:",
        numbered(_file(place, link) for place in files),
    )


def _scorer(shortlist: Shortlist, adapter: WonAdapter | None) -> str:
    if shortlist.scorer == BASELINE:
        return _BY_BASELINE
    if shortlist.scorer not in _BY_ADAPTER:
        return f"Ranked by {code(shortlist.scorer)}."
    return " ".join([_BY_ADAPTER[shortlist.scorer], *_retrained(shortlist.retrained, adapter)])


def _retrained(retrained: Retrained | None, adapter: WonAdapter | None) -> list[str]:
    """Return how the recipe was judged, and that the adapter in use was not."""
    if retrained is None:
        return []
    judged = f"Its recipe was judged on {_day(retrained.judged_at)} with {code(retrained.model)}"
    if adapter is not None and str(adapter.run_id) == retrained.run_id:
        judged += f": {_against_baseline(adapter.delta)}"
    window = f"from {numbers.day(retrained.trained_from)} to {numbers.day(retrained.trained_until)}"
    return [f"{judged}.", f"It was then retrained on all labels {window} and not judged again."]


def _against_baseline(delta: Measured) -> str:
    return f"Δρ against the baseline {with_interval(delta, signed=True)}"


def _day(moment: str) -> str:
    day = _DAY.match(moment)
    return day[0] if day else "an unknown day"


def _why_baseline(shortlist: Shortlist, adapter: WonAdapter | None) -> str:
    """Return why the baseline is shown although an adapter won."""
    if adapter is None or shortlist.scorer != BASELINE:
        return ""
    won = f"A fine-tuned model did better here when it was judged: {_against_baseline(adapter.delta)}."
    if adapter.state == "failed":
        return f"{won} It could not rank this commit, so the baseline is shown. Reason: {prose(adapter.reason)}"
    if adapter.state == "coming":
        return f"{won} It is about to rank this commit; until then the baseline is shown."
    return (
        f"{won} It ranks newer commits at most once a day and within the GPU budget. It has not ranked this one, so "
        "the baseline is shown."
    )


def _count(places: tuple[Place, ...], ranked: int, noun: str) -> str:
    ranked = max(ranked, len(places))
    first = f"The first {len(places):,} of " if ranked > len(places) else ""
    return first + numbers.counted(ranked, noun)


def _function(place: Place, link: Link) -> str:
    location = f"{_end_of(place.path)}:{place.start_line}"
    linked = link(code(location, 2 * MAX_PATH), place.path, place.start_line)
    return f"{code(place.qualified_name, MAX_NAME)} in {linked}{_reasons(place)}"


def _file(place: Place, link: Link) -> str:
    linked = link(code(_end_of(place.path), 2 * MAX_PATH), place.path, 0)
    return f"{linked}: {code(place.qualified_name, MAX_NAME)}{_reasons(place)}"


def _reasons(place: Place) -> str:
    return ": " + ", ".join(map(prose, place.reasons)) if place.reasons else ""


def _end_of(path: str) -> str:
    """Return the end of a long path, which has the file's name."""
    return path if len(path) <= MAX_PATH else ELLIPSIS + path[1 - MAX_PATH :]


def _linker(context: ScreenContext, head_sha: str) -> Link:
    """Return a function that links a text to a file as it was measured, or leaves it alone if that is not certain."""
    full_name = context.repository.full_name
    known = context.web_url.startswith("https://") and _NAME.fullmatch(full_name) and _SHA.fullmatch(head_sha)
    root = f"{context.web_url}/{full_name}/blob/{head_sha}/"

    def link(text: str, path: str, line: int) -> str:
        url = root + quote(path, safe="/") + (f"#L{line}" if line else "")
        return f"[{text}]({url})" if known and _is_exact(path) and len(url) <= MAX_URL else text

    return link


def _is_exact(path: str) -> bool:
    """Return whether a path is complete and stays the same when a browser normalizes it."""
    is_plain = not path.endswith(ELLIPSIS) and _REPLACEMENT not in path
    return is_plain and not {"", ".", ".."}.intersection(path.split("/"))
