"""Find the issues and pull requests that a commit message, or a pull request's title and body, refers to.

Decisions, based on 44,002 commits of eleven public histories (docs/concepts/evidence.md has the counts):

- Closing keywords are GitHub's nine, each before its own number: `Fixes #1, #2` closes 1 and mentions 2.
- A subject that ends in `(#12)` was squashed from a pull request, `Merge pull request #12 from` merged one.
- `owner/repo#12` and URLs count if they name this repository; `PR#12`, `other#12` and `PR-12` are no references.
- A number under ten counts only after a word for it (`fixes #3`, `issue #3`) or in brackets, because of
  `our #1 concern`, `thread #2` and `#0` of a stack. No number begins with 0.
- Ignored: code, quotations, indented blocks, HTML comments, stack frames, lists of other commits, colours, titles of
  other commits in double quotes.
- A word that is cut off at the limit is ignored: half a number is another number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["closes", "mentions", "pull request"]

MAX_CHARACTERS: Final = 65_536
MAX_REFERENCES: Final = 64
_MIN_BARE_NUMBER: Final = 10

_STRENGTH: Final[tuple[Kind, ...]] = ("mentions", "closes", "pull request")
_REMOVED = "\0"  # not white space, so that a keyword does not reach across removed text


@dataclass(frozen=True, slots=True)
class Home:
    """The repository of the references: `name` is owner/name, `formerly` its earlier names."""

    name: str
    host: str = "github.com"
    formerly: tuple[str, ...] = ()

    def is_named(self, name: str) -> bool:
        return name.casefold() in {known.casefold() for known in (self.name, *self.formerly)}


@dataclass(frozen=True, slots=True)
class Reference:
    """A number that a text refers to; "pull request" is the one from which the commit came."""

    number: int
    kind: Kind


_FENCE = re.compile(r" {0,3}(```|~~~)")
_INDENTED = re.compile(r"\t| {4}")
_NOT_PROSE = re.compile(
    r"[ \t]*+(?:>|#\d{1,3}[ \t]++(?:0x|/|\[|\{|[\w:<>~.$]{1,200}+ ?[( ]\S{0,200}[:(/]|\w{1,200}+\()"  # quotation, stack
    r"|(?<=[ \t])(?:[\w.-]{1,80}[ \t]++)?[\w./-]{1,200}+:\d{1,6}[ \t]++\S"  # stack with names of files
    r"|(?:commit )?[0-9a-f]{7,40} \S|Merge (?:pull request|PR) #"  # a log of commits
    r"|(?:[*+-]|\d{1,3}[.)]) .{0,2000}(?:\([\w./-]{0,140}#\d{1,9}\)|\bin https?://\S{1,300})[ \t.]*+$)",  # a changelog
    re.ASCII,
)
_CODE = re.compile(r"``(?:[^`\n]|`(?!`)){0,500}+``|`[^`\n]{0,500}+`")
_TITLE = re.compile('"[^"\n]{0,300}+"|\u201c[^\u201d\n]{0,300}+\u201d')
_LINK = re.compile(r"\[#?[\w/.-]{0,140}#?\d{0,9}\]\((?=https?://)")
_COLOUR = re.compile(
    r"\b(?:colou?rs?|background|fill|stroke|borders?|shades?|tint|hex|rgb)"
    r"(?:-[a-z]{1,20})?[\"']?(?: ?[:=] ?| (?:is |was |to |from |of |code |value |like ){0,3})[\"']?"
    r"#(?:\d{3}|\d{6}|\d{8})\b(?:(?: to | and |, |/| ?-> ?)#[0-9a-f]{3,8}\b)*+"
    r"|(?<![\w-])[a-z-]{1,40}: ?#(?:\d{3}|\d{6}|\d{8})(?= ?;)",
    re.IGNORECASE | re.ASCII,
)
_QUOTED_HTML = (("<!--", "-->"), ("<details", "</details>"), ("<blockquote", "</blockquote>"), ("<pre", "</pre>"))

_CLOSING = r"(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s{1,3}"
_NAMING = (
    r"(?:issues?|tickets?|bugs?|pull requests?|PRs?|see|refs?|references|re|related to|part of|follow-up to):?\s{1,3}"
)
_REFERENCE = re.compile(
    rf"(?<![\w-])(?:(?P<closing>{_CLOSING})|(?P<naming>{_NAMING}))?+"
    r"(?:(?P<url>https?://[^\s<>()\[\]\"'\0]{1,500}+)"
    r"|(?<![\w./&>#-])(?P<repository>[\w-]{1,39}/[\w.-]{1,100}+)?#(?P<number>[1-9]\d{0,8})(?!\w|-\w|\.\d)"
    r"|(?<![\w./&>#-])gh-(?P<gh>[1-9]\d{0,8})(?!\w|-\w|\.\d))",
    re.IGNORECASE | re.ASCII,
)
_OWN_URL = re.compile(
    r"https?://(?:www\.)?([\w.:-]{1,200})/([\w-]{1,39}/[\w.-]{1,100})/(?:issues|pull)/([1-9]\d{0,8})(?!\w)"
)
_MERGED = re.compile(
    r"Merge (?:pull request|PR) #([1-9]\d{0,8}) from |(?:Auto|Rollup) merge of #([1-9]\d{0,8}) ", re.ASCII
)
# Not keys: names of standards, and what GitHub itself links.
_KEY = re.compile(rb"\s{0,80}[\[(#]{0,2}(?!(?:GH|PR|CVE|RFC|ISO|UTF|SHA|PEP)-)[A-Z][A-Z0-9_]{1,15}-\d{1,9}(?![\w-])")
_SQUASHED = re.compile(r"\((?:#|GH-)([1-9]\d{0,8})\)$", re.IGNORECASE | re.ASCII)


def read_references(message: bytes | str, home: Home) -> tuple[Reference, ...]:
    """Return the references of a commit message, each number once by its strongest kind, in order of appearance.

    Reads at most 64 numbers in the first 65,536 characters. Never raises, whatever the bytes, and takes linear time.
    """
    subject, _, body = _bounded(message).strip().partition("\n")
    subject = subject.strip()
    merged, squashed = _MERGED.match(subject), _SQUASHED.search(subject)
    references: list[Reference] = []
    if merged:
        references.append(Reference(int(merged[1] or merged[2]), "pull request"))
        subject = ""  # the rest is the name of a branch
    elif squashed:
        references.append(Reference(int(squashed[1]), "pull request"))
        subject = subject[: squashed.start()]
    return _strongest([*references, *_in_prose(subject, home), *_in_prose(_prose(body), home)])


def read_pull_references(title: str, body: str, home: Home) -> tuple[Reference, ...]:
    """Return the references of a pull request, as `read_references` but without the kind "pull request"."""
    return _strongest([*_in_prose(_bounded(title), home), *_in_prose(_prose(_bounded(body)), home)])


def might_refer(message: bytes) -> bool:
    """Filter messages cheaply, without false negatives: True if `read_references` might find something."""
    lowered = message.lower()
    return b"#" in lowered or b"gh-" in lowered or b"/issues/" in lowered or b"/pull/" in lowered


def begins_with_key(message: bytes) -> bool:
    """Return whether a message begins with the key of an issue in another tracker, as `ABC-123: x` or `[ABC-123] x`."""
    return bool(_KEY.match(message))


def _bounded(text: bytes | str) -> str:
    whole = text if isinstance(text, str) else text[: 4 * MAX_CHARACTERS + 4].decode("utf-8", "replace")
    kept = whole[:MAX_CHARACTERS]
    if len(whole) > MAX_CHARACTERS:
        kept = kept[: max(kept.rfind(" "), kept.rfind("\n"), 0)]
    return kept.replace("\r\n", "\n").replace("\r", "\n").replace(_REMOVED, " ")


def _strongest(references: Iterable[Reference]) -> tuple[Reference, ...]:
    kinds: dict[int, Kind] = {}
    for number, kind in ((r.number, r.kind) for r in references):
        if number in kinds:
            kinds[number] = max(kind, kinds[number], key=_STRENGTH.index)
        elif len(kinds) < MAX_REFERENCES:
            kinds[number] = kind
    return tuple(Reference(number, kind) for number, kind in kinds.items())


def _prose(body: str) -> str:
    """Return a body without fenced and indented blocks, quotations, logs, lists of commits and hidden HTML."""
    for opening, closing in _QUOTED_HTML:
        body = _without(body, opening, closing)
    kept, fence, blank, indented = [], "", True, False
    for line in body.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            fence = "" if mark and mark[1] == fence else fence
            continue
        if mark:
            fence = mark[1]
            continue
        # As in Markdown, an indented line continues the paragraph before it, if there is one.
        indented = bool(_INDENTED.match(line)) and (blank or indented)
        blank = not line.strip()
        kept.append(_REMOVED if indented or _NOT_PROSE.match(line) else line)
    return "\n".join(kept)


def _without(text: str, opening: str, closing: str) -> str:
    parts, at = [], 0
    while (begin := text.find(opening, at)) >= 0:
        parts.append(text[at:begin])
        end = text.find(closing, begin)
        at = len(text) if end < 0 else end + len(closing)
    return _REMOVED.join([*parts, text[at:]])


def _in_prose(text: str, home: Home) -> Iterator[Reference]:
    for pattern in (_CODE, _TITLE, _LINK, _COLOUR):
        text = pattern.sub(_REMOVED if pattern is not _LINK else "", text)
    for match in _REFERENCE.finditer(text):
        number = _number(match, home)
        explicit = match["closing"] or match["naming"] or match["url"] or match["gh"] or match["repository"]
        bracketed = (
            text[max(0, match.start() - 1) : match.start()] == "(" and text[match.end() : match.end() + 1] == ")"
        )
        if number and (number >= _MIN_BARE_NUMBER or explicit or bracketed):
            yield Reference(number, "closes" if match["closing"] else "mentions")


def _number(match: re.Match[str], home: Home) -> int | None:
    """Return the number of a match in this repository, None if it names another one."""
    if match["url"]:
        own = _OWN_URL.match(match["url"])
        at_home = own is not None and own[1].casefold() == home.host.casefold() and home.is_named(own[2])
        return int(own[3]) if own is not None and at_home else None
    if match["repository"] and not home.is_named(match["repository"]):
        return None
    return int(match["number"] or match["gh"])
