r"""Show the functions within macro calls of Rust to its grammar, which reads the body of a call as loose tokens.

    cfg_if! {
        if #[cfg(unix)] {
            pub fn open(path: &str) -> i32 { ... }
        }
    }

Of a call that stands where an item can stand, and only of such, the functions and the blocks that qualify them (`impl`,
`trait`, `mod`, `extern`) stay; everything else of the call becomes spaces. Calls without a function, those within
functions, and definitions (`macro_rules!`) stay as they are.
"""

from __future__ import annotations

import re

from pipeline.syntax.shadow.blanks import blank_rust, replaced

# A call that can hold items: at the start of its line, with braces, or with another bracket and an item right after it.
_CALL = re.compile(
    rb"^[ \t]*+(?:\w++::)*+(?!macro_rules\b)\w++!\s*+(?:\w++\s*+)?+"
    rb"(?:\{|[(\[]\s*+(?:#|(?:pub|fn|async|unsafe|const|impl|mod|trait|extern)\b))",
    re.MULTILINE,
)
_FUNCTION = re.compile(rb"\bfn\s+[A-Za-z_]")
_TOKEN = re.compile(rb"[{}()\[\];]")

_ATTRIBUTES = rb"(?:#\[[^\[\]]{0,400}+(?:\[[^\[\]]{0,400}+\][^\[\]]{0,400}+){0,9}+\]\s*+){0,20}+"
_VISIBILITY = rb"(?:pub\b\s*+(?:\([^()]{0,99}\)\s*+)?)?"
_QUALIFIERS = rb"(?:(?:default|const|async|unsafe|safe|extern)\b\s*+){0,5}"
_FUNCTION_HEAD = re.compile(_ATTRIBUTES + _VISIBILITY + _QUALIFIERS + rb"\bfn\s+[A-Za-z_]")
_SCOPE_HEAD = re.compile(
    _ATTRIBUTES + _VISIBILITY + rb"(?:(?:default|unsafe|auto)\s++){0,3}\b(?:impl\b|trait\s|mod\s|extern\s+\Z)"
)
_CALL_HEAD = re.compile(
    rb"("
    + _ATTRIBUTES
    + rb")(?:::\s*+)?+(?:[A-Za-z_]\w*+\s*+::\s*+){0,9}+(?!macro_rules\b)[A-Za-z_]\w*+\s*+!\s*+(?:\w++\s*+)?+\Z"
)
_ENDS_LIKE_CALL = re.compile(rb"!\s{0,20}\w{0,99}\s{0,20}\Z")
_LOOK_BACK = 160
_CODE_START = re.compile(rb"\S|\Z")
_SEMICOLON = re.compile(rb"\s{0,20};")

# What a bracket encloses: items, code, items within a call (of which parts stay), code of a function that stays.
_ITEMS, _CODE, _CALLED, _SCOPE, _KEPT = range(5)


def without_item_macros(data: bytes) -> bytes:
    """Return the source in which functions within macro calls are items, with equal offsets."""
    call = _CALL.search(data)
    if call is None or not _FUNCTION.search(data, call.end()):
        return data
    spans = _Reader(blank_rust(data)).spans()
    return replaced(data, spans) if spans else data


class _Reader:
    """One walk over the brackets of a file."""

    def __init__(self, code: bytes) -> None:
        self._code = code
        self._around = [_ITEMS]
        self._head = 0  # start of the text before the next bracket, after the last item
        self._call_depth = 0  # number of brackets around the contents of the current call, 0 outside of calls
        self._blank_from = 0
        self._found: list[tuple[int, int]] = []
        self._spans: list[tuple[int, int]] = []

    def spans(self) -> list[tuple[int, int]]:
        """Return the spans to blank, ascending."""
        for token in _TOKEN.finditer(self._code):
            at = token.start()
            if token[0] in b"{([":
                self._open(token[0], at)
            elif token[0] == b";":
                if self._around[-1] in (_ITEMS, _CALLED, _SCOPE):
                    self._head = at + 1
            elif len(self._around) > 1:
                self._close(token[0], at)
        return self._spans

    def _open(self, bracket: bytes, at: int) -> None:
        kind = self._around[-1]
        inner = _CODE
        if kind == _ITEMS and self._is_call(at):
            inner = _CALLED
            self._call_depth = len(self._around) + 1
            self._blank_from = _CODE_START.search(self._code, self._head).start()  # type: ignore[union-attr]
            self._found = []
        elif bracket == b"{" and kind == _ITEMS:
            function = _FUNCTION_HEAD.search(self._code, self._head, at)
            if function is None and _SCOPE_HEAD.search(self._code, self._head, at):
                inner = _ITEMS
        elif bracket == b"{" and kind in (_CALLED, _SCOPE):
            inner = self._open_in_call(at)
        if inner != _CODE:
            self._head = at + 1
        self._around.append(inner)

    def _is_call(self, at: int) -> bool:
        if not _ENDS_LIKE_CALL.search(self._code, max(self._head, at - _LOOK_BACK), at):
            return False
        start = _CODE_START.search(self._code, self._head, at)
        head = _CALL_HEAD.match(self._code, start.start(), at) if start else None
        return head is not None

    def _open_in_call(self, at: int) -> int:
        function = _FUNCTION_HEAD.search(self._code, self._head, at)
        kept = function or _SCOPE_HEAD.search(self._code, self._head, at)
        if kept is None:
            return _CALLED
        self._found.append((self._blank_from, kept.start()))
        self._blank_from = at + 1
        return _KEPT if function else _SCOPE

    def _close(self, bracket: bytes, at: int) -> None:
        depth = len(self._around)
        kind = self._around.pop()
        if kind == _SCOPE:
            self._found.append((self._blank_from, at))
        if kind in (_SCOPE, _KEPT):
            self._blank_from = at + 1
        if kind != _CODE or bracket == b"}":
            self._head = at + 1
        if kind == _CALLED and depth == self._call_depth:
            self._call_depth = 0
            if self._found:
                semicolon = _SEMICOLON.match(self._code, at + 1)
                self._spans += [*self._found, (self._blank_from, semicolon.end() if semicolon else at + 1)]
