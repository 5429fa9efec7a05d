"""Untrusted YAML as a small tree with line numbers: text, lists and mappings, and nothing else that YAML offers.

It is built from PyYAML's events instead of its values: no alias is expanded, no tag is resolved, no text turns into a
date or a boolean, and parsing stops at fixed limits. Source: YAML 1.2.2, chapters 3 and 10.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import yaml

from pipeline.reports.escape import inert

MAX_BYTES: Final = 64 << 10
MAX_NODES: Final = 2_000
MAX_DEPTH: Final = 8

ALIAS: Final = "anchors and aliases (& and *) are not supported"
TAG: Final = "tags (!) are not supported"

# Unquoted scalars that are not text in YAML 1.2.
_NULL = re.compile(r"|~|null|Null|NULL")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")


class Unreadable(Exception):
    """A file that cannot be parsed, with the line of the error; 0 if it concerns no line."""

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
        """Return a boolean of YAML 1.2; None for `yes`, `on` and everything else."""
        if self.quoted or not _BOOLEAN.fullmatch(self.text):
            return None
        return self.text.lower() == "true"


@dataclass(frozen=True, slots=True)
class Sequence:
    line: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    line: int
    entries: tuple[tuple[Node, Node], ...]  # in order, with repeated keys


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A value with an anchor, an alias or a tag."""

    line: int
    why: str


Node = Text | Sequence | Mapping | Unsupported


@dataclass(frozen=True, slots=True)
class Tree:
    root: Node | None  # None: only comments
    second_at: int = 0  # line of a second document, which is ignored


@dataclass
class _Open:
    """A list or mapping that is still open."""

    line: int
    is_mapping: bool
    why_unsupported: str
    children: list[Node] = field(default_factory=list)

    def closed(self) -> Node:
        if self.why_unsupported:
            return Unsupported(self.line, self.why_unsupported)
        if not self.is_mapping:
            return Sequence(self.line, tuple(self.children))
        return Mapping(self.line, tuple(zip(self.children[::2], self.children[1::2], strict=True)))


def read_tree(raw: bytes) -> Tree:
    """Parse the first document of a file. Raises Unreadable if it is not YAML, not UTF-8, too large or too deep."""
    text = _decoded(raw)
    try:
        return _built(yaml.parse(text, Loader=yaml.BaseLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(mark.line + 1 if mark else 0, f"it is not valid YAML ({_problem(error)})") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(line, f"the character U+{ord(text[error.position]):04X} is not allowed in YAML") from None


def _decoded(raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise Unreadable(0, f"the file has {len(raw):,} bytes, more than the limit of {MAX_BYTES:,}")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(raw.count(b"\n", 0, error.start) + 1, "the file is not UTF-8") from None


def _problem(error: yaml.MarkedYAMLError) -> str:
    """Return PyYAML's message without the text of the file that it may quote."""
    message = re.sub(r" (?:'(?:[^'\\]|\\.)*'|\"[^\"]*\")", "", error.problem or "it cannot be parsed")
    message = message.removesuffix(", but found")
    return inert(message, 80) if " " in message else "it cannot be parsed"


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
            if nodes > MAX_NODES:
                raise Unreadable(line, f"the file has more than {MAX_NODES:,} values")
            if not isinstance(event, yaml.CollectionStartEvent):
                node = _leaf(event, line)
            elif len(stack) >= MAX_DEPTH:
                raise Unreadable(line, f"lists and mappings are nested deeper than {MAX_DEPTH} levels")
            else:
                stack.append(_Open(line, isinstance(event, yaml.MappingStartEvent), _why_unsupported(event)))
        elif isinstance(event, yaml.CollectionEndEvent):
            node = stack.pop().closed()
        if node is not None and stack:
            stack[-1].children.append(node)
        elif node is not None:
            root = node
    return Tree(root)


def _leaf(event: yaml.NodeEvent, line: int) -> Node:
    why = _why_unsupported(event)
    if why or not isinstance(event, yaml.ScalarEvent):
        return Unsupported(line, why)
    return Text(line, event.value, quoted=bool(event.style))


def _why_unsupported(event: yaml.NodeEvent) -> str:
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        return ALIAS
    return TAG if event.tag is not None else ""
