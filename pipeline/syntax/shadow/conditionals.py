r"""Make one program of source whose `#if` cuts through a construct.

    ILogger ForContext(string name)
    #if FEATURE_DEFAULTS
        { ... }
    #else
        ;
    #endif

No grammar can parse this: the member loses its name, and what follows its scope. Of a group of branches that cuts
through a construct one branch is kept, the first that opens a brace or else the first that is not empty (never that of
`#if 0` or `#if false`); the others and the lines of the directives become spaces, so that every offset and line stays.
Groups of whole members or statements are left to the grammar, which reads every branch of them.

A group cuts if a branch does not close what it opens, or closes what it did not open. In C# it also cuts if it begins
or ends within a member or statement: after or before anything but `;`, a brace or an attribute.
"""

from __future__ import annotations

import re

_DIRECTIVE = re.compile(
    rb"#[ \t]*+(if|ifdef|ifndef|elif|elifdef|elifndef|else|endif)\b((?:[^\n\\]|\\.|\\\Z)*+)", re.DOTALL
)
_OTHER_DIRECTIVE = re.compile(rb"#(?:[^\n\\]|\\.|\\\Z)*+", re.DOTALL)
_NEVER = frozenset({b"0", b"false"})
# Deeper groups are left to the grammar.
_MAX_DEPTH = 64
_OPENING, _CLOSING = b"{([", b"})]"
_NOT_BRACKETS = bytes(sorted(set(range(256)) - set(_OPENING + _CLOSING)))
_FIRST_WORD = re.compile(rb"\s*+(?:(\w++)|(.))", re.DOTALL)

_CONTINUES = frozenset({b"else", b"catch", b"finally", b"where"})  # what came before


class _Branch:
    """A branch of a group: bytes from the end of its directive to the start of the next one."""

    __slots__ = ("continues", "end", "first", "has_brace", "last", "lowest", "net", "never", "start")

    def __init__(self, start: int, never: bool) -> None:
        self.start = start
        self.end = start
        self.never = never
        self.net = 0  # brackets opened minus closed
        self.lowest = 0
        self.has_brace = False
        self.first = self.last = b""
        self.continues = False  # whether it begins with a word like `else`

    @property
    def is_blank(self) -> bool:
        return not self.first


class _Group:
    __slots__ = ("before", "branches", "directives")

    def __init__(self, before: bytes) -> None:
        self.before = before  # the last byte of code above
        self.branches: list[_Branch] = []
        self.directives: list[tuple[int, int]] = []


def cuts(code: bytes, csharp: bool) -> list[tuple[int, int]]:
    """Return the bytes to blank, ascending and disjoint. `code`: source without comments and strings."""
    return _joined(_Reader(code, csharp).cuts())


class _Reader:
    """One walk over the directives of a file."""

    def __init__(self, code: bytes, csharp: bool) -> None:
        self._code = code
        self._csharp = csharp
        self._open: list[_Group] = []
        self._last = b""
        self._spans: list[tuple[int, int]] = []

    def cuts(self) -> list[tuple[int, int]]:
        """Return the spans to blank, unsorted."""
        at = skipped = 0
        for directive in _DIRECTIVE.finditer(self._code):
            start = self._code.rfind(b"\n", at, directive.start()) + 1 or at
            if self._code[start : directive.start()].strip():
                continue  # no directive: the # is not the first of its line
            self._read(at, start)
            at = directive.end()
            kind = directive[1]
            if kind.startswith(b"if"):
                if skipped or len(self._open) >= _MAX_DEPTH:
                    skipped += 1
                    continue
                self._open.append(_Group(self._last))
                self._begin(start, at, directive[2])
            elif skipped:
                skipped -= kind == b"endif"
            elif self._open:
                self._open[-1].branches[-1].end = start
                if kind == b"endif":
                    self._end(start, at)
                else:
                    self._begin(start, at, directive[2])
        return self._spans

    def _begin(self, start: int, end: int, condition: bytes) -> None:
        group = self._open[-1]
        group.directives.append((start, end))
        group.branches.append(_Branch(end, condition.strip() in _NEVER))

    def _read(self, start: int, end: int) -> None:
        """Read code between two directives."""
        text = self._code[start:end]
        if b"#" in text:
            text = _OTHER_DIRECTIVE.sub(b"", text)
        first = _FIRST_WORD.match(text)
        if first is None:
            return
        self._last = text.rstrip()[-1:]
        if not self._open:
            return
        branch = self._open[-1].branches[-1]
        if branch.is_blank:
            branch.first = (first[1] or first[2])[:1]
            branch.continues = first[1] in _CONTINUES
        branch.last = self._last
        branch.has_brace = branch.has_brace or b"{" in text
        for bracket in _unpaired(text.translate(None, _NOT_BRACKETS)):
            if bracket in _OPENING:
                branch.net += 1
            else:
                branch.net -= 1
                branch.lowest = min(branch.lowest, branch.net)

    def _end(self, start: int, end: int) -> None:
        group = self._open.pop()
        group.directives.append((start, end))
        kept = _kept(group)
        if self._cuts(group):
            self._spans += group.directives
            self._spans += [(branch.start, branch.end) for branch in group.branches if branch is not kept]
        if not self._open or kept.is_blank:
            return
        around = self._open[-1].branches[-1]
        if around.is_blank:
            around.first, around.continues = kept.first, kept.continues
        around.last = self._last = kept.last
        around.lowest = min(around.lowest, around.net + kept.lowest)
        around.net += kept.net
        around.has_brace = around.has_brace or kept.has_brace

    def _cuts(self, group: _Group) -> bool:
        filled = [branch for branch in group.branches if not branch.is_blank]
        if any(branch.net or branch.lowest < 0 for branch in filled):
            return True
        if not self._csharp:
            if group.before and group.before in b"(,=?&|+-*/%^<>[":
                return bool(filled)
            in_list = group.before and group.before in b"){,"
            return any(
                branch.last == b"," or branch.first in b":," or (in_list and branch.first == b"{") for branch in filled
            )
        attributes = [branch.first == b"[" and branch.last == b"]" for branch in filled]
        if filled and group.before not in b";{}]":
            return True
        return any(
            branch.continues or branch.first in b".,:=?)]|/%^<>" or not (branch.last in b";}" or attribute)
            for branch, attribute in zip(filled, attributes, strict=True)
        )


def _unpaired(brackets: bytes) -> bytes:
    """Return brackets without most of the pairs, which change neither the balance nor its minimum."""
    for _ in range(_MAX_DEPTH):
        shorter = brackets.replace(b"()", b"").replace(b"{}", b"").replace(b"[]", b"")
        if len(shorter) == len(brackets):
            break
        brackets = shorter
    return brackets


def _kept(group: _Group) -> _Branch:
    """Return the branch to keep where a group cuts."""
    candidates = [branch for branch in group.branches if not branch.never] or group.branches
    for branch in candidates:
        if branch.has_brace:
            return branch
    return next((branch for branch in candidates if not branch.is_blank), candidates[0])


def _joined(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the union of spans, ascending and disjoint."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
