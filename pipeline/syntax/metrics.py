"""Measure the structure metrics of the functions in a file, as defined in docs/reference/metrics.md.

One query captures the constructs of the whole file, and one sweep over their byte ranges assigns each to the innermost
listed function around it, as mining assigns changed lines. The cost grows with the number of constructs (times its
logarithm), not with the depth of the code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import tree_sitter

from pipeline.records import PairMetrics
from pipeline.syntax.constructs import Constructs, constructs
from pipeline.syntax.grammars import constructs_query
from pipeline.syntax.names import strip_arguments
from pipeline.syntax.parser import Function, ParsedFile, located_functions

# Order of constructs with the same range: containers first.
_CONTAINERS = {"function": 1, "inline": 2, "branch": 3, "loop": 3, "switch": 3, "block": 3}
_LISTED = 0
_INSIDE = 4

_WILDCARD = re.compile(rb"(?:case\s+|in\s+)?_\s*(?::|=>|if\b|when\b|then\b|;|\n)")


class _Event(NamedTuple):
    """A construct of the file, or a listed function (then `listed` is its index)."""

    start: int
    end_last: int  # the negated end, so that longer ranges sort first
    order: int
    kind: str
    listed: int = -1


class _Level:
    """A construct that encloses the current byte."""

    __slots__ = ("breaks_end_cases", "depth", "end", "is_function", "owner")

    def __init__(self, end: int, owner: _Tally | None, depth: int, is_function: bool, breaks_end_cases: bool) -> None:
        self.end = end
        self.owner = owner
        self.depth = depth  # within the listed function around it
        self.is_function = is_function
        self.breaks_end_cases = breaks_end_cases


class _Tally:
    """The running counts of a listed function."""

    __slots__ = ("body_start", "called", "decisions", "depth", "exits", "has_body", "parameters")

    def __init__(self, body_start: int) -> None:
        self.body_start = body_start
        self.has_body = False
        self.decisions = 0
        self.depth = 0
        self.exits = 0
        self.parameters = 0
        self.called: set[bytes] = set()

    def metrics(self, function: Function) -> PairMetrics:
        return PairMetrics(
            lines=function.end_line - function.start_line + 1,
            cyclomatic_complexity=1 + self.decisions,
            nesting_depth=self.depth,
            fan_out=len(self.called),
            exits=self.exits,
            parameters=self.parameters,
        )


def measure_structure(parsed: ParsedFile) -> tuple[PairMetrics, ...]:
    """Return the metrics of `parsed.functions`, in the same order."""
    if not parsed.functions:
        return ()
    functions = list(located_functions(parsed.outline, parsed.tests))
    tallies = [_Tally(item.start) for _, item, _ in functions]
    events = [_Event(start, -item.end, _LISTED, "", i) for i, (_, item, start) in enumerate(functions)]
    events += _constructs(parsed)
    events.sort()
    _Sweep(parsed, tallies).run(events)
    return tuple(tally.metrics(function) for tally, (function, _, _) in zip(tallies, functions, strict=True))


def _constructs(parsed: ParsedFile) -> Iterator[_Event]:
    """Yield every construct once per kind, even if several patterns capture it."""
    captures = tree_sitter.QueryCursor(constructs_query(parsed.language)).captures(parsed.tree.root_node)
    spans = {kind: {(node.start_byte, node.end_byte) for node in nodes} for kind, nodes in captures.items()}
    again = spans.pop("again", set())
    exits = spans.get("exit", set())
    for kind, nodes in spans.items():
        order = _CONTAINERS.get(kind, _INSIDE)
        if kind in ("return", "break"):
            nodes -= exits
        for start, end in nodes:
            if kind == "branch" and (start, end) in again:
                yield _Event(start, -end, _INSIDE, "decision")
            else:
                yield _Event(start, -end, order, kind)


class _Sweep:
    """A walk over the constructs in document order, outer before inner."""

    def __init__(self, parsed: ParsedFile, tallies: list[_Tally]) -> None:
        self._data = parsed.data
        self._row: Constructs = constructs(parsed.language)
        self._tallies = tallies
        self._open = [_Level(len(parsed.data), None, 0, True, False)]

    def run(self, events: list[_Event]) -> None:
        for event in events:
            while len(self._open) > 1 and self._open[-1].end <= event.start:
                self._open.pop()
            if event.listed >= 0:
                self._open.append(_Level(-event.end_last, self._tallies[event.listed], 0, True, False))
                continue
            owner = self._open[-1].owner
            if owner is None:
                continue
            if event.kind in _CONTAINERS:
                self._enter(event, owner)
            else:
                self._count(event, owner)

    def _enter(self, event: _Event, owner: _Tally) -> None:
        kind = event.kind
        is_function = kind in ("function", "inline")
        if is_function and not owner.has_body and event.start >= owner.body_start:
            owner.has_body = True  # the listed function itself
            return
        around = self._open[-1]
        if kind in ("branch", "loop"):
            owner.decisions += 1
        cases = kind == "switch" or (around.breaks_end_cases and kind != "loop" and not is_function)
        self._open.append(_Level(-event.end_last, owner, around.depth + 1, kind == "function", cases))
        owner.depth = max(owner.depth, around.depth + 1)

    def _count(self, event: _Event, owner: _Tally) -> None:
        kind = event.kind
        if kind == "decision":
            owner.decisions += 1
        elif kind == "exit":
            owner.exits += 1
        elif kind == "return":
            owner.exits += not self._open[-1].is_function
        elif kind == "break":
            owner.exits += not self._open[-1].breaks_end_cases
        elif kind == "arm":
            owner.decisions += _WILDCARD.match(self._data, event.start) is None
        else:
            self._count_text(kind, self._data[event.start : -event.end_last], owner)

    def _count_text(self, kind: str, text: bytes, owner: _Tally) -> None:
        """Count a construct that depends on its text."""
        if kind == "parameter":
            around = self._open[-1]
            is_own = around.depth == 0 and owner.has_body
            name = text.partition(b":")[0].strip()
            owner.parameters += is_own and name not in self._row.not_parameters
            return
        if kind in ("bare", "word") and text in self._row.leaving:
            owner.exits += 1
        if kind == "path":
            text = strip_arguments(text).rpartition(b"::")[2]
        if kind != "word" and text and text not in self._row.not_calls:
            owner.called.add(text)
