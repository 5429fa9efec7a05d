"""YAML from a stranger as a small tree with line numbers: text, lists and mappings, and nothing that YAML can do more.

Built from PyYAML's events and not from its values: no alias is expanded, no tag is obeyed, no text becomes a date or a
boolean by itself, and reading stops at the first sign of a bomb. Source: YAML 1.2.2, chapters 3 and 10.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import yaml

from pipeline.reports.escape import inert

MOST_BYTES: Final = 64 << 10
MOST_NODES: Final = 2_000
DEEPEST: Final = 8

ALIAS: Final = "anchors and aliases (& and *) are not read"
TAG: Final = "tags (!) are not read"

# What YAML 1.2 takes for something else than text where it is not in quotes.
_NULL = re.compile(r"|~|null|Null|NULL")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")


class NotRead(Exception):
    """A file of which nothing can be read, with the line where that shows."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True)
class Text:
    line: int
    text: str
    quoted: bool = False

    @property
    def is_null(self) -> bool:
        return not self.quoted and bool(_NULL.fullmatch(self.text))

    @property
    def is_number(self) -> bool:
        return not self.quoted and bool(_NUMBER.fullmatch(self.text))

    @property
    def boolean(self) -> bool | None:
        """True or false as YAML 1.2 has them; none for `yes`, `on` and everything else."""
        if self.quoted or not _BOOLEAN.fullmatch(self.text):
            return None
        return self.text.lower() == "true"


@dataclass(frozen=True, slots=True)
class Listing:
    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    line: int
    entries: tuple[tuple[Node, Node], ...]  # in their order, repeated keys and all


@dataclass(frozen=True, slots=True)
class Refused:
    """A value that uses what is not read."""

    line: int
    why: str


Node = Text | Listing | Mapping | Refused


@dataclass(frozen=True, slots=True)
class Tree:
    root: Node | None  # none: nothing but comments
    second_at: int = 0  # line of a second document, which is not read


@dataclass
class _Open:
    """A list or mapping whose end has not come."""

    line: int
    is_mapping: bool
    why_refused: str
    children: list[Node] = field(default_factory=list)

    def closed(self) -> Node:
        if self.why_refused:
            return Refused(self.line, self.why_refused)
        if not self.is_mapping:
            return Listing(self.line, tuple(self.children))
        return Mapping(self.line, tuple(zip(self.children[::2], self.children[1::2], strict=True)))


def read_tree(raw: bytes) -> Tree:
    """The first document of a file. Raises NotRead for what is no YAML, no UTF-8, too large, too deep or too much."""
    text = _decoded(raw)
    try:
        return _built(yaml.parse(text, Loader=yaml.BaseLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise NotRead(mark.line + 1 if mark else 0, f"this is no valid YAML ({_complaint(error)})") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise NotRead(line, f"the character U+{ord(text[error.position]):04X} may not stand in YAML") from None


def _decoded(raw: bytes) -> str:
    if len(raw) > MOST_BYTES:
        raise NotRead(0, f"the file has {len(raw):,} bytes, and at most {MOST_BYTES:,} are read")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotRead(raw.count(b"\n", 0, error.start) + 1, "the file is not UTF-8") from None


def _complaint(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's words without the text of the file that some of them quote."""
    told = re.sub(r" (?:'(?:[^'\\]|\\.)*'|\"[^\"]*\")", "", error.problem or "it cannot be parsed")
    told = told.removesuffix(", but found")
    return inert(told, 80) if " " in told else "it cannot be parsed"


def _built(events: Iterable[yaml.Event]) -> Tree:
    stack: list[_Open] = []
    root: Node | None = None
    nodes = documents = 0
    for event in events:
        node: Node | None = None
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                return Tree(root, event.start_mark.line + 1)
        elif isinstance(event, yaml.NodeEvent):
            nodes += 1
            line = event.start_mark.line + 1
            if nodes > MOST_NODES:
                raise NotRead(line, f"the file has more than {MOST_NODES:,} values")
            if not isinstance(event, yaml.CollectionStartEvent):
                node = _leaf(event, line)
            elif len(stack) >= DEEPEST:
                raise NotRead(line, f"lists and mappings are nested deeper than {DEEPEST} levels")
            else:
                stack.append(_Open(line, isinstance(event, yaml.MappingStartEvent), _why_refused(event)))
        elif isinstance(event, yaml.CollectionEndEvent):
            node = stack.pop().closed()
        if node is not None and stack:
            stack[-1].children.append(node)
        elif node is not None:
            root = node
    return Tree(root)


def _leaf(event: yaml.NodeEvent, line: int) -> Node:
    why = _why_refused(event)
    if why or not isinstance(event, yaml.ScalarEvent):
        return Refused(line, why)
    return Text(line, event.value, quoted=bool(event.style))


def _why_refused(event: yaml.NodeEvent) -> str:
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        return ALIAS
    return TAG if event.tag is not None else ""
