"""Read a commit message: its fix evidence, why it counts as no fix, and what it reverts.

The rules are in docs/development/design.md, "Fix commit" and "Credit" (reverts). Only the subject (the first line that
is not blank) gives evidence: bodies quote logs, changelogs and the commits of a squashed branch. Decisions, based on
public histories:

- `bugfix:` and `hotfix:` are prefixes like `fix:`. Another conventional type does not hide a keyword (`chore: fix x`)
  unless the type is itself a class that is never a fix (see `subjects`).
- `fixup!`, `squash!` and `amend!` are classified by the subject that they belong to.
- A subject reverts if it starts with the revert (`Revert x`, `net/http: revert x`). After `fix:` or an issue number it
  must also name its target, because "Fixed #1 -- Reverted the default to True" repairs something. A body reverts only
  in its first words: further down are the commits of a squashed branch, which undo only each other. If only the body
  reverts and the subject claims a fix ("Fixed #2 -- Fixed crash in x", "This reverts commit 12ab34c."), it is both.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.classify.claims import CHEAP, Claim, fix_claim, vetoed_claim
from pipeline.classify.keywords import JOINED, has_keyword
from pipeline.classify.origins import Origin, read_origin
from pipeline.classify.overlay import IGNORED, NO_RULES, OverlayRules
from pipeline.classify.subjects import non_fix_class
from pipeline.label_recipe import MINER_VERSION, LabelRecipe
from pipeline.records import Evidence, printable

SUBJECT_BYTES = 2_048
TRAILER_BYTES = 65_536
SUBJECT_CHARACTERS = 200
MAX_REVERTED = 64

_CHEAP = (b"fix", b"bug", b"regression", b"defect", b"revert", b"appl", b"land", b"roll", b"back", b"undo")

_CHEAP_IN_BODY = (b"fix", b"bug", b"regression", b"defect", b"revert", b"incorrect", b"wrong")

_STRENGTH = ("keyword", "prefix", "label", "issue")

# Only encodings in which ASCII letters are always single bytes, because `might_be_fix` compares bytes.
_ENCODING = re.compile(
    r"(?:utf-?8|ascii|us-ascii|latin-?1|iso-?8859-?\d{1,2}|(?:windows-|cp)(?:125\d|437|85\d|866|93[26]|949|950)"
    r"|koi8-?[ru]|gbk|gb2312|gb18030|big5|euc-?(?:jp|kr|cn)|shift-?jis|sjis)",
    re.IGNORECASE | re.ASCII,
)

_PATH_SCOPE = re.compile(
    r"(?!(?:fix|bug|hotfix|bugfix)/)[\w.-]{1,80}(?:/[\w.,{}*-]{1,80}){1,20}+: ", re.IGNORECASE | re.ASCII
)
# May precede a conventional prefix: tags, gitmoji, symbols, white space. One character or group at a time.
_LEAD = re.compile(r"(?:\[[^\]]{0,80}\]|:[a-z_]{1,40}:|[^\x00-\x7f\w\s]|\s)*+", re.IGNORECASE)
_LEAD_2 = re.compile(_LEAD.pattern.replace(":[a-z_]", ":[a-z0-9_]"), re.IGNORECASE)
_PREFIX = re.compile(r"(?a:fix|bugfix|hotfix)(?:\([^()]{0,100}\))?!?[:\uff1a]", re.IGNORECASE)
_AUTOSQUASH = re.compile(r"(?:(?:fixup|squash|amend)!\s*)*+", re.IGNORECASE | re.ASCII)

_REVERT = (
    r"(?a:revert(?:s|ed|ing)?|re-?appl(?:y|ied|ies)|re-?land(?:s|ed)?|roll(?:s|ed|ing)?[ -]?back"
    r"|back(?:s|ed|ing)?[ -]?out|undo(?:es)?)"
)
# Targets of a revert: a quotation, a change, a number, a hash.
_NAMED = (
    r"[:,]? (?:of )?(?:[\"\u201c#\[]|(?:PR|CL|commit|r|pull request) ?#?\d|commit |[\w/.-]{1,80}#\d|[0-9a-f]{7,40}\b)"
)
_CONVENTIONAL = r"\w{1,20}(?:\([^()]{0,100}\))?!?: *"
_SCOPE = rf"(?:[\w./*{{}},-]{{1,120}}: +(?:hg )?|{_CONVENTIONAL})?"
# Only "revert" needs no target: programs undo, roll back and reapply things of their own.
_BARE_REVERT = re.compile(rf"{_SCOPE}(?:(?a:revert(?:s|ed|ing)?)(?!{JOINED})(?!-)|{_REVERT}{_NAMED})", re.IGNORECASE)
# After a claim to fix something even "revert" needs a target.
_NAMED_REVERT = re.compile(
    rf"(?:(?:fix|bugfix|hotfix)(?:\([^()]{{0,100}}\))?!?: *|(?:fix(?:es|ed)|refs) #\d{{1,9}}[,\w #-]{{0,60}}? -- )"
    rf"{_REVERT}{_NAMED}",
    re.IGNORECASE,
)
_QUOTED = re.compile(rf"{_REVERT}[:,]? *(?:of )?[\"\u201c]", re.IGNORECASE)
_REAPPLY = re.compile(r"re-?(?:appl|land)", re.IGNORECASE)
_CONVENTIONAL_REVERT = re.compile(r"revert(?:\([^()]{0,100}\))?!?: *", re.IGNORECASE)
_PULL_SUFFIX = re.compile(r"(?: \([\w./-]{0,100}#\d{1,9}\)){1,9}$", re.ASCII)
_LAST_PULL = re.compile(r"\(#(\d{1,9})\)$", re.ASCII)
_PULL = re.compile(r"#(\d{1,9})", re.ASCII)
_PULLS = r"((?:[\w./-]{0,100}#\d{1,9}(?:, | and | |(?=\W|$))){1,20})"
_OPEN_QUOTE = re.compile('["\u201c]')
_REVERTED_PULLS = re.compile(
    rf"(?<!\w)revert(?:s|ed|ing)?[:,]? (?:(?:PRs?|pull requests?) )?{_PULLS}", re.IGNORECASE | re.ASCII
)
_BODY_REVERTED_PULLS = re.compile(rf"^(?:this )?reverts {_PULLS}", re.IGNORECASE | re.ASCII | re.MULTILINE)
# Version 2 reads numbers as other trackers write them: `!12`, `acme/app!12`, `PR 12`, an address.
_PULL_NAME = r"(?:(?:PRs?|MRs?|pull requests?|merge requests?) ?)"
_PULLS_2 = (
    rf"((?:(?:{_PULL_NAME}?[\w./-]{{0,100}}[#!]|{_PULL_NAME}|https?://[\w./-]{{1,200}}/(?:pull|pulls|merge_requests"
    r"|pull-requests|pullrequest)/)\d{1,9}(?:, | and | |(?=\W|$))){1,20})"
)
_PULL_2 = re.compile(r"(?:[#!/]|\b(?:PRs?|MRs?|requests?) ?)(\d{1,9})(?!\w)", re.IGNORECASE | re.ASCII)
_UNDOES_OR_RESTORES = r"(?:(?:un)?revert(?:s|ed|ing)?|re-?appl(?:y|ies|ied)|re-?land(?:s|ed)?)"
_REVERTED_PULLS_2 = re.compile(rf"(?<!\w){_UNDOES_OR_RESTORES}[:,]? {_PULLS_2}", re.IGNORECASE | re.ASCII)
_BODY_REVERTED_PULLS_2 = re.compile(
    rf"^(?:this (?:commit |{_PULL_NAME})?)?(?:reverts|re-?applies|re-?lands) {_PULLS_2}",
    re.IGNORECASE | re.ASCII | re.MULTILINE,
)
_BODY_REVERT_2 = re.compile(
    rf"\s*+(?:this (?:commit |{_PULL_NAME})?)?reverts (?:(?:commits?|changesets?|CL|PR|MR|pull request|merge request)\s"
    r"|[\w./-]{0,100}[#!]\d|https?://[\w./-]{1,200}/\d|[0-9a-f]{7,40}\b)",
    re.IGNORECASE | re.ASCII,
)
_BARE_REVERT_2 = re.compile(
    rf"{_BARE_REVERT.pattern}|{_SCOPE}(?:{_REVERT}(?:[:,]? {_PULL_NAME}?[\w./-]{{0,100}}!\d|[:,]? {_PULL_NAME}\d)"
    rf"|unrevert(?:s|ed|ing)?(?!{JOINED})(?!-))",
    re.IGNORECASE,
)
_RESTORES = re.compile(rf"{_SCOPE}(?:re-?appl|re-?land|unrevert)", re.IGNORECASE)
_BODY_REVERT = re.compile(
    r"\s*+this (?:commit )?reverts (?:(?:commits?|changesets?|CL|PR)\s|#\d|[0-9a-f]{7,40}\b)", re.IGNORECASE | re.ASCII
)
_REVERTED = re.compile(
    r"\brevert(?:s|ed|ing)? (?:(?:commits?|changesets?)\b|CL \d{1,9} \(commit(?= )|(?=[0-9a-f]{7,40}\b))", re.IGNORECASE
)
_SHA = re.compile(r"[\s,;&:]*+(?:and\s++)?(?:commits?\s++)?([0-9a-f]{7,40})(?![0-9a-z])", re.IGNORECASE)

_ROBOT = re.compile(
    r"\[bot\]|(?-i:[\w.]-bot)(?=$|[ <@>])|(?-i:\bBot <)[^@>]{0,200}bot@|\b(?:renovate|release|semantic-release) ?bot\b"
    r"|^(?:dependabot|renovate|greenkeeper|snyk|imgbot|mergify|github[- ]actions?|pre-commit|allcontributors)"
    r"\b[^<]{0,40}<",
    re.IGNORECASE,
)
# Bot accounts whose commits are work that a person requested and reviewed.
_CODING_AGENT = re.compile(
    r"^\W{0,3}(?:copilot|claude|cursor|codex|devin|google-labs-jules|openhands|sweep)", re.IGNORECASE
)


class MessageFacts(NamedTuple):
    """The facts of a message. `evidence` is set even if `not_a_fix` gives a reason why the commit gets no credit."""

    subject: str  # printable first line, at most 200 characters
    evidence: Evidence | None  # the strongest evidence
    not_a_fix: str | None  # "revert", "bot", a class of `subjects`, or IGNORED
    reverts: tuple[str, ...]  # hexadecimal ids of 7 to 40 digits, as written, lower case
    reverts_subject: str | None  # the quoted subject, at most 200 characters; compare by `subject_key`
    reverts_pulls: tuple[int, ...] = ()  # numbers of the reverted pull requests
    restores: bool = False  # it lands again what it names: the reverts of that are undone
    origin: Origin = Origin()  # the pull request that it lands, the commits that it was picked from


def read_message(
    message: bytes,
    author: bytes,
    encoding: bytes | None,
    recipe: LabelRecipe,
    linked: Sequence[Evidence] = (),
    rules: OverlayRules = NO_RULES,
) -> MessageFacts:
    """Read a raw commit message. `author` is the raw `Name <mail>`, `encoding` the commit's header or None.

    `linked` is evidence from issues and labels; the strongest of all counts. `rules` are the repository's own. The
    caller excludes merges and changes of comments or tests only. Never raises, whatever the bytes, and takes linear
    time.
    """
    line = _subject_line(message, encoding)
    subject = line[_end(_AUTOSQUASH, line) :]
    body = message[:TRAILER_BYTES].lstrip().partition(b"\n")[2].decode("utf-8", "replace")
    version = recipe.miner_version
    origin = read_origin(subject, body) if version >= 2 else Origin()
    # Where a button merged a pull request, its title says what landed.
    said, more = (origin.title, body.lstrip().removeprefix(origin.title)) if origin.title else (subject, body)
    body_reverts = bool((_BODY_REVERT if version < 2 else _BODY_REVERT_2).match(body))
    own = _kind(said, "" if body_reverts else more, rules, version)
    evidence = _strongest(Evidence(own, recipe.weight(own)) if own else None, linked)
    is_revert = _is_revert(subject, body_reverts, version) or (body_reverts and evidence is None)
    undoes = is_revert or body_reverts
    return MessageFacts(
        subject=_shown(line),
        evidence=evidence,
        not_a_fix="revert" if is_revert else _reason_not_a_fix(line, said, author, rules, own, version),
        reverts=_reverted_ids(subject, body) if undoes else (),
        reverts_subject=_reverted_subject(subject) if is_revert else None,
        reverts_pulls=_reverted_pulls(subject, body, version) if undoes else (),
        restores=is_revert and version >= 2 and bool(_RESTORES.match(subject, _end(_LEAD, subject))),
        origin=origin,
    )


def might_be_fix(message: bytes, version: int = MINER_VERSION) -> bool:
    """Filter messages cheaply, without false negatives: True if `read_message` might find evidence or a revert.

    This ignores linked evidence and a repository's own patterns. The caller must read the commits with linked evidence
    and, if there are such patterns, every commit.
    """
    lowered = message[:TRAILER_BYTES].lower()
    head = lowered[:SUBJECT_BYTES]
    if any(word in head for word in _CHEAP) or b"this reverts" in lowered or b"this commit reverts" in lowered:
        return True
    return version >= 2 and _might_claim(lowered, head.lstrip())


def _might_claim(lowered: bytes, head: bytes) -> bool:
    """Return whether `fix_claim` might find something. Merges pass, because a revert may name them by their number."""
    line = head.partition(b"\n")[0]
    if not line.isascii() or line.startswith((b"merge", b"auto merge", b"rollup merge")):
        return True
    return any(word in lowered for word in _CHEAP_IN_BODY) or bool(CHEAP.search(line))


def subject_key(subject: str) -> str:
    """Return a subject without the pull-request numbers that squashing appends, as a revert may quote it without."""
    return _PULL_SUFFIX.sub("", subject)


def pull_number(subject: str) -> int | None:
    """Return the last pull request at the end of a squashed subject: `fix: x (#12)` is 12."""
    match = _LAST_PULL.search(subject)
    return int(match[1]) if match else None


def _subject_line(message: bytes, encoding: bytes | None) -> str:
    head = message[:SUBJECT_BYTES].lstrip()
    line, *more = re.split(rb"[\r\n]", head, maxsplit=1)
    is_whole = bool(more) or len(message) <= SUBJECT_BYTES
    declared = (encoding or b"utf-8").decode("ascii", "replace")
    for codec in (declared, "utf-8") if _ENCODING.fullmatch(declared) else ("utf-8",):
        try:
            # If the limit cut a character in half, the incremental decoder holds it back.
            return codecs.getincrementaldecoder(codec)().decode(line, is_whole).strip()
        except (LookupError, UnicodeDecodeError):
            continue
    return line.decode("latin-1").strip()


def _shown(line: str) -> str:
    text = printable(line.encode("utf-8", "backslashreplace"))
    return text if len(text) <= SUBJECT_CHARACTERS else text[: SUBJECT_CHARACTERS - 1] + "…"


def _end(pattern: re.Pattern[str], line: str) -> int:
    match = pattern.match(line)
    return match.end() if match else 0


def _kind(line: str, body: str, rules: OverlayRules, version: int) -> Claim | None:
    """Return the kind of evidence in a message, None if there is none."""
    if _PREFIX.match(line, _end(_LEAD if version < 2 else _LEAD_2, line)) or rules.claims_fix(line):
        return "prefix"
    text = line[_end(_PATH_SCOPE, line) :]
    if version >= 2:
        return fix_claim(text, body)
    return "keyword" if has_keyword(text) else None


def _strongest(own: Evidence | None, linked: Sequence[Evidence]) -> Evidence | None:
    candidates = [*linked, own] if own else list(linked)
    return max(candidates, key=lambda e: (e.weight, _STRENGTH.index(e.kind)), default=None)


def _reason_not_a_fix(
    line: str, subject: str, author: bytes, rules: OverlayRules, own: Claim | None, version: int
) -> str | None:
    if rules.ignores(line) or (subject != line and rules.ignores(subject)):
        return IGNORED
    if _is_bot(author):
        return "bot"
    return non_fix_class(subject) or (vetoed_claim(subject) if version >= 2 and own == "keyword" else None)


def _is_bot(author: bytes) -> bool:
    text = author[:512].decode("utf-8", "replace").strip()
    return bool(_ROBOT.search(text)) and not _CODING_AGENT.search(text)


def _is_revert(line: str, body_reverts: bool, version: int) -> bool:
    subject = line[_end(_LEAD, line) :]
    if _NAMED_REVERT.match(subject):
        return True
    bare = _BARE_REVERT if version < 2 else _BARE_REVERT_2
    return bool(bare.match(subject)) and (body_reverts or not _PREFIX.match(subject))


def _reverted_ids(line: str, body: str) -> tuple[str, ...]:
    ids: dict[str, None] = {}
    for text in (_OPEN_QUOTE.split(line)[0], body):
        for match in _REVERTED.finditer(text):
            at = match.end()
            while len(ids) < MAX_REVERTED and (sha := _SHA.match(text, at)):
                ids[sha[1].lower()] = None
                at = sha.end()
    return tuple(ids)


def _reverted_pulls(line: str, body: str, version: int) -> tuple[int, ...]:
    """Return the numbers of the pull requests that a revert names, or that one names which lands them again."""
    pulls: dict[int, None] = {}
    patterns = (_REVERTED_PULLS, _BODY_REVERTED_PULLS) if version < 2 else (_REVERTED_PULLS_2, _BODY_REVERTED_PULLS_2)
    for pattern, text in zip(patterns, (_OPEN_QUOTE.split(line)[0], body), strict=True):
        for match in pattern.finditer(text):
            pulls.update((int(number), None) for number in (_PULL if version < 2 else _PULL_2).findall(match[1]))
    # A number in a nested quotation belongs to the restored change, not to the reverted one.
    if quoted := _reverted_subject(line):
        number = pull_number(quoted) if version < 2 else read_origin(quoted, "").pull
        if number:
            pulls[number] = None
    return tuple(pulls)[:MAX_REVERTED]


def _reverted_subject(line: str) -> str | None:
    if opening := _QUOTED.search(line):
        closing = max(line.rfind('"'), line.rfind("\u201d"))
        quoted = line[opening.end() : closing if closing >= opening.end() else len(line)].strip()
        # Go writes `net/http: revert "x"` for the commit `net/http: x`.
        scope = line[: _end(_PATH_SCOPE, line)]
        if quoted and not quoted.startswith(scope):
            quoted = scope + quoted
        # Since git 2.43 reverting a revert is titled Reapply: its target is the revert.
        return _shown(f'Revert "{quoted}"' if _REAPPLY.match(line, opening.start()) else quoted) if quoted else None
    if prefix := _CONVENTIONAL_REVERT.match(line):
        return _shown(line[prefix.end() :].strip()) or None
    return None
