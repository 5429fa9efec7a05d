"""Read where a change comes from: the pull or merge request that it lands, the commits that it was picked from.

These are rules of version 2. Recognised are the texts that git, GitHub, GitLab, Gitea, Bitbucket, Azure DevOps and the
usual backport bots write.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAX_PICKED: Final = 16

# The number stands in the subject, the title in the body.
_MERGED = re.compile(
    r"Merged? (?:pull request|PR|MR|merge request) [#!]?(\d{1,9})\b(?! ?:)"
    r"|Merged in \S{1,250} \(pull request #(\d{1,9})\)|(?:Auto|Rollup) merge of #(\d{1,9})\b",
    re.ASCII,
)
_MERGED_BRANCH = re.compile(r"Merge branch '", re.ASCII)
_MERGED_TITLE = re.compile(r"Merge pull request '(.{1,400})' \((?:#|!)(\d{1,9})\) from ", re.ASCII)
# The number stands before or behind the title.
_NUMBERED = re.compile(
    r"Merged PR (\d{1,9}): |Pull request #(\d{1,9}): |.{0,2000}\((?:pull request )?[#!](\d{1,9})\)$", re.ASCII
)
_SEE = re.compile(r"^See merge request [\w./-]{0,200}!(\d{1,9})\s*$", re.ASCII | re.MULTILINE)

_PICKED = re.compile(
    r"^[ \t]{0,4}[(\[]?[ \t]?(?:(?:this is an? )?(?:cherry[- ]?pick(?:ed)?|back-?port(?:ed)?)"
    r"(?: of| from)?(?: upstream)?(?: commit)?|upstream commit|commit(?=[ \t]{1,2}[0-9a-f]{7,40} upstream))"
    r":?[ \t]{1,4}([0-9a-f]{7,40})(?![0-9a-z])",
    re.IGNORECASE | re.ASCII | re.MULTILINE,
)
_BACKPORT = re.compile(r"\b(?:back-?port|cherry[- ]?pick)", re.IGNORECASE | re.ASCII)
_NUMBER = re.compile(r"[#!](\d{1,9})(?!\w)", re.ASCII)
_BODY_BACKPORT = re.compile(
    r"^[ \t]{0,4}\(?(?:this is an? )?(?:automatic )?(?:back-?port|cherry[- ]?pick)(?:s|ed|ing)?(?: of| from)?"
    r"(?: PR| pull request| MR| merge request)? [\w./-]{0,100}[#!](\d{1,9})(?!\w)",
    re.IGNORECASE | re.ASCII | re.MULTILINE,
)


class Origin(NamedTuple):
    """The pull or merge request that a commit lands and its title, where they are named, and what it repeats."""

    pull: int | None = None
    title: str = ""  # of a merged request, otherwise empty
    picked: tuple[str, ...] = ()  # hexadecimal ids of 7 to 40 digits, lower case
    picked_pulls: tuple[int, ...] = ()


def read_origin(subject: str, body: str) -> Origin:
    """Read a subject (decoded) and body."""
    pull, title = _landed(subject, body)
    picked = dict.fromkeys(match[1].lower() for match in _PICKED.finditer(body))
    numbers = [match[1] for match in _BODY_BACKPORT.finditer(body)]
    if _BACKPORT.search(subject):
        numbers.extend(_NUMBER.findall(subject))
    pulls = dict.fromkeys(int(number) for number in numbers)
    others = [number for number in pulls if number != pull]
    return Origin(pull, title, tuple(picked)[:MAX_PICKED], tuple(others[:MAX_PICKED]))


def _landed(subject: str, body: str) -> tuple[int | None, str]:
    if titled := _MERGED_TITLE.match(subject):
        return int(titled[2]), titled[1]
    see = _SEE.search(body)
    merged = _MERGED.match(subject)
    if merged or (see and _MERGED_BRANCH.match(subject)):
        numbers = merged.groups() if merged else ()
        title = body.lstrip()[:2_048].partition("\n")[0].strip()
        return _first_number(*numbers, see and see[1]), "" if _SEE.match(title) else title
    numbered = _NUMBERED.match(subject)
    return _first_number(*(numbered.groups() if numbered else ()), see and see[1]), ""


def _first_number(*texts: str | None) -> int | None:
    return next((int(text) for text in texts if text), None)
