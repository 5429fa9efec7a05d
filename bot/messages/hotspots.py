"""The section "Look here first" of a check run: the riskiest functions and files, with reasons and links to the code.

A list and no table: a pipe in a name would need another escape there, and a backslash before it one more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import quote

from bot.messages.markdown import code, prose
from bot.messages.screen_context import ScreenContext, WonAdapter
from bot.messages.sections import section
from bot.records import StoredScreening
from pipeline.json_fields import MalformedError
from pipeline.ranking.shortlist import ELLIPSIS, Place, Retrained, Shortlist, load_shortlist
from pipeline.reports import numbers
from pipeline.reports.finetune_figures import ADAPTER, BASELINE, BLEND, Measured

HEADING = "Look here first"
LONGEST_NAME = 80
LONGEST_PATH = 100
LONGEST_ADDRESS = 1_000

_NAME = re.compile(r"(?!\.+/)[\w.-]{1,100}/(?!\.+$)[\w.-]{1,100}", re.ASCII)
_SHA = re.compile(r"[0-9a-f]{40}")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_REPLACED = "\ufffd"  # what stands for a character that cannot be kept: another path than the file's

_BASELINE = (
    "A fixed formula over the size and structure of the code and over its past changes and fixes, the same "
    "for every repository; `docs/concepts/ranking.md` of Assay has it, and says how good it is."
)
_BY_ADAPTER = {
    ADAPTER: "Ranked by a language model that was fine-tuned on this repository’s bug fixes.",
    BLEND: "Ranked half by a language model that was fine-tuned on this repository’s bug fixes, half by how much was "
    "changed lately.",
}
_NO_DEFECTS = "This is no list of defects: it says where looking is likeliest to pay."

Link = Callable[[str, str, int], str]


def render_look_here(stored: StoredScreening, situation: ScreenContext) -> str:
    """Markdown; nothing where nothing was ranked, or where the ranking is not for those who can see the check run."""
    if stored.ranking is None or not situation.shows_ranking:
        return ""
    try:
        shortlist = load_shortlist(stored.ranking)
    except MalformedError:  # of another release: the verdict is posted without it
        return ""
    if not shortlist.functions:
        return ""
    return _section(shortlist, _linker(situation, stored.head_sha), situation.adapter)


def _section(shortlist: Shortlist, link: Link, adapter: WonAdapter | None) -> str:
    functions, files = shortlist.functions, shortlist.files
    what = _what_it_is(shortlist, adapter)
    return section(
        HEADING,
        f"{_of(functions, shortlist.ranked_functions, 'function')} by risk of needing a fix. {what} {_NO_DEFECTS}",
        _instead_of(shortlist, adapter),
        _numbered(_function(place, link) for place in functions),
        f"{_of(files, shortlist.ranked_files, 'file')}, each with its riskiest function:",
        _numbered(_file(place, link) for place in files),
    )


def _what_it_is(shortlist: Shortlist, adapter: WonAdapter | None) -> str:
    if shortlist.scorer == BASELINE:
        return _BASELINE
    if shortlist.scorer not in _BY_ADAPTER:
        return f"Ranked by {code(shortlist.scorer)}."
    return " ".join([_BY_ADAPTER[shortlist.scorer], *_retrained(shortlist.retrained, adapter)])


def _retrained(retrained: Retrained | None, adapter: WonAdapter | None) -> list[str]:
    """What it stands on, and that nobody judged it as it is now."""
    if retrained is None:
        return []
    model = code(retrained.model)
    judged = f"Its recipe was judged on {_day_of(retrained.judged_at)} with {model}"
    if adapter is not None and str(adapter.run_id) == retrained.run_id:
        judged += f": {_against_baseline(adapter.delta)}"
    window = f"from {numbers.day(retrained.trained_from)} to {numbers.day(retrained.trained_until)}"
    return [
        f"{judged}.",
        f"Since then it was trained once more, on all labels {window}; that adapter was not judged itself.",
    ]


def _against_baseline(delta: Measured) -> str:
    """With the interval, which belongs to every ρ."""
    interval = numbers.rho_interval(delta.low, delta.high, signed=True)
    return f"Δρ {numbers.rho(delta.value, signed=True)} against the baseline (95 %: {interval})"


def _day_of(moment: str) -> str:
    found = _DAY.match(moment)
    return found[0] if found else "an unknown day"


def _instead_of(shortlist: Shortlist, adapter: WonAdapter | None) -> str:
    """Why the baseline is shown although an adapter won here."""
    if adapter is None or shortlist.scorer != BASELINE:
        return ""
    won = f"A fine-tuned model did better here when it was judged: {_against_baseline(adapter.delta)}."
    if adapter.state == "failed":
        return f"{won} It could not rank this commit, so the baseline stays: {prose(adapter.reason)}"
    if adapter.state == "coming":
        return f"{won} It is about to rank this commit; until then the baseline is shown."
    return (
        f"{won} It ranks a newer commit at most once a day and within the budget of GPU minutes; this one it has not "
        "ranked, so the baseline is shown."
    )


def _of(places: tuple[Place, ...], ranked: int, noun: str) -> str:
    ranked = max(ranked, len(places))
    first = f"The first {len(places):,} of " if ranked > len(places) else "All of "
    return first + numbers.counted(ranked, noun)


def _numbered(lines: Iterable[str]) -> str:
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def _function(place: Place, link: Link) -> str:
    where = f"{_end_of(place.path)}:{place.start_line}"
    shown = link(code(where, 2 * LONGEST_PATH), place.path, place.start_line)
    return f"{code(place.qualified_name, LONGEST_NAME)} in {shown}{_why(place)}"


def _file(place: Place, link: Link) -> str:
    shown = link(code(_end_of(place.path), 2 * LONGEST_PATH), place.path, 0)
    return f"{shown}: {code(place.qualified_name, LONGEST_NAME)}{_why(place)}"


def _why(place: Place) -> str:
    return ": " + ", ".join(map(prose, place.reasons)) if place.reasons else ""


def _end_of(path: str) -> str:
    """The end of a long path, where the file's name is."""
    return path if len(path) <= LONGEST_PATH else ELLIPSIS + path[1 - LONGEST_PATH :]


def _linker(situation: ScreenContext, head_sha: str) -> Link:
    """Makes links to files as they were measured; leaves alone what cannot be linked for certain."""
    full_name = situation.repository.full_name
    known = situation.web_url.startswith("https://") and _NAME.fullmatch(full_name) and _SHA.fullmatch(head_sha)
    root = f"{situation.web_url}/{full_name}/blob/{head_sha}/"

    def link(shown: str, path: str, line: int) -> str:
        address = root + quote(path, safe="/") + (f"#L{line}" if line else "")
        return f"[{shown}]({address})" if known and _is_whole(path) and len(address) <= LONGEST_ADDRESS else shown

    return link


def _is_whole(path: str) -> bool:
    """Whether a path is as it is in the repository, and leads nowhere else when a browser tidies it up."""
    is_plain = not path.endswith(ELLIPSIS) and _REPLACED not in path
    return is_plain and not {"", ".", ".."}.intersection(path.split("/"))
