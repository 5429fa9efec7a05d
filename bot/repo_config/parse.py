"""Parse `.github/assay.yml`: the settings that apply, and a problem by key and line for everything else.

1. The bytes become a tree with line numbers, or nothing applies (yaml_tree).
2. Every key is looked up in the table; unknown ones are reported with the closest known key.
3. Every value is parsed by the kind of its key; invalid ones are left out, in a list only the invalid item.

Problems quote only names and short values of the file, and make them inert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, Final

from bot.repo_config.keys import (
    BY_NAME,
    LISTS,
    MAX_MINUTES,
    MODEL_NAME,
    PERMISSIONS,
    SECTIONS,
    Key,
    Kind,
)
from bot.repo_config.repository_config import ConfigProblem, ParsedConfig, RepositoryConfig
from bot.repo_config.yaml_tree import Mapping, Node, Sequence, Text, Unreadable, Unsupported, read_tree
from pipeline.classify.patterns import MAX_PATTERN_BYTES, MAX_PATTERNS, compile_expression, compile_glob
from pipeline.reports.escape import inert

CONFIG_PATH: Final = ".github/assay.yml"
NOTHING_APPLIES: Final = "nothing in it applies"
MAX_PROBLEMS: Final = 100
_MAX_QUOTED: Final = 40  # characters
_YAML_1_1_BOOLEANS: Final = ("y", "yes", "on", "n", "no", "off")


class _Invalid(Exception):
    """A value that does not apply, with the reason."""


def parse_config(raw: bytes) -> ParsedConfig:
    """Parse a file. Never raises, and takes time linear in its size, whatever the bytes."""
    try:
        tree = read_tree(raw)
    except Unreadable as error:
        return ParsedConfig(problems=(ConfigProblem(error.line, "", f"{error.message}: {NOTHING_APPLIES}"),))
    problems: list[ConfigProblem] = []
    values: dict[str, Any] = {}
    if isinstance(tree.root, Mapping):
        _read_mapping(tree.root, "", values, problems)
    elif tree.root is not None and not (isinstance(tree.root, Text) and tree.root.is_null):
        problems.append(ConfigProblem(tree.root.line, "", f"{_kind_of(tree.root)} is in place of `key: value` lines"))
    if tree.second_at:
        problems.append(ConfigProblem(tree.second_at, "", "a second document begins here; only the first one is read"))
    return ParsedConfig(RepositoryConfig(**values), tuple(_capped(problems)))


def _capped(problems: list[ConfigProblem]) -> Iterator[ConfigProblem]:
    yield from problems[:MAX_PROBLEMS]
    if len(problems) > MAX_PROBLEMS:
        yield ConfigProblem(0, "", f"{len(problems) - MAX_PROBLEMS} more problems")


def _read_mapping(mapping: Mapping, prefix: str, values: dict[str, Any], problems: list[ConfigProblem]) -> None:
    """Add what applies to `values`, by field, and the rest to `problems`. `prefix` is `finetune.` or empty."""
    seen: dict[str, int] = {}
    for key_node, value in mapping.entries:
        if not isinstance(key_node, Text):
            problems.append(ConfigProblem(key_node.line, prefix.rstrip("."), f"{_kind_of(key_node)} cannot be a key"))
            continue
        name = prefix + key_node.text
        shown = inert(name, _MAX_QUOTED)
        if name in seen:
            problems.append(ConfigProblem(key_node.line, shown, f"duplicate of line {seen[name]}, which applies"))
            continue
        seen[name] = key_node.line
        if name in SECTIONS:
            _read_section(name, value, values, problems)
        elif name in BY_NAME:
            _read_key(BY_NAME[name], value, values, problems)
        else:
            problems.append(ConfigProblem(key_node.line, shown, f"unknown key{_suggestion(name)}"))


def _read_section(name: str, value: Node, values: dict[str, Any], problems: list[ConfigProblem]) -> None:
    if isinstance(value, Mapping):
        _read_mapping(value, f"{name}.", values, problems)
        return
    why = f"must be a section of `key: value` lines, not {_kind_of(value)}"
    problems.append(ConfigProblem(value.line, name, value.why if isinstance(value, Unsupported) else why))


def _read_key(key: Key, value: Node, values: dict[str, Any], problems: list[ConfigProblem]) -> None:
    try:
        if isinstance(value, Unsupported):
            raise _Invalid(value.why)
        if isinstance(value, Text) and value.is_null:
            raise _Invalid("has no value: set one, or remove the key")
        if key.kind in LISTS:
            values[key.field] = _items(key, value, problems)
        else:
            values[key.field] = _READERS[key.kind](value)
    except _Invalid as invalid:
        problems.append(ConfigProblem(value.line, key.name, str(invalid)))


def _items(key: Key, value: Node, problems: list[ConfigProblem]) -> tuple[str, ...]:
    """Return the items of a list that apply. Raises _Invalid if it is not a list."""
    if not isinstance(value, Sequence):
        raise _Invalid(f"must be a list with one `- item` a line, not {_kind_of(value)}")
    if len(value.items) > MAX_PATTERNS:
        line = value.items[MAX_PATTERNS].line
        problems.append(
            ConfigProblem(line, key.name, f"has {len(value.items)} items: only the first {MAX_PATTERNS} apply")
        )
    items = []
    for number, item in enumerate(value.items[:MAX_PATTERNS], 1):
        try:
            items.append(_checked_item(key.kind, _text(item)))
        except _Invalid as invalid:
            problems.append(ConfigProblem(item.line, key.name, f"item {number} is ignored: {invalid}"))
    return tuple(dict.fromkeys(items))


def _checked_item(kind: Kind, text: str) -> str:
    if len(text.encode("utf-8", "replace")) > MAX_PATTERN_BYTES:
        raise _Invalid(f"it is longer than {MAX_PATTERN_BYTES} bytes")
    if not text.strip():
        raise _Invalid("it is empty")
    try:
        if kind == "expressions":
            compile_expression(text)
        elif kind == "globs":
            compile_glob(text)
    except ValueError as error:
        raise _Invalid(str(error)) from None
    return text


def _text(node: Node) -> str:
    """Return the text of a node. Raises _Invalid if it is not text, or not valid UTF-8."""
    if isinstance(node, Unsupported):
        raise _Invalid(node.why)
    if not isinstance(node, Text):
        raise _Invalid(f"must be text, not {_kind_of(node)}")
    if node.is_null:
        raise _Invalid("it is empty")
    if node.is_number or node.boolean is not None:
        raise _Invalid(f"{_quoted(node)} is not text: put it in quotes")
    if any("\ud800" <= character <= "\udfff" for character in node.text):
        raise _Invalid("it is not valid text")
    return node.text


def _permission(node: Node) -> str:
    text = _text(node)
    if text not in PERMISSIONS:
        raise _Invalid(f"must be one of {', '.join(PERMISSIONS)}, not {_quoted(node)}")
    return text


def _boolean(node: Node) -> bool:
    if isinstance(node, Text) and node.boolean is not None:
        return node.boolean
    if isinstance(node, Text) and node.text.lower() in _YAML_1_1_BOOLEANS:
        raise _Invalid(f"must be true or false; {_quoted(node)} is ordinary text")
    raise _Invalid(f"must be true or false, not {_quoted(node)}")


def _model(node: Node) -> str:
    text = _text(node)
    if not MODEL_NAME.fullmatch(text):
        raise _Invalid(f"must name a model as owner/name, not {_quoted(node)}")
    return text


def _minutes(node: Node) -> int:
    if isinstance(node, Text) and not node.quoted and node.text.isascii() and node.text.isdecimal():
        minutes = int(node.text[:9])
        if 1 <= minutes <= MAX_MINUTES:
            return minutes
    raise _Invalid(f"must be a whole number of minutes from 1 to {MAX_MINUTES}, not {_quoted(node)}")


_READERS: Final[dict[Kind, Callable[[Node], Any]]] = {
    "permission": _permission,
    "boolean": _boolean,
    "model": _model,
    "minutes": _minutes,
}


def _kind_of(node: Node) -> str:
    if isinstance(node, Text):
        return "a single value"
    return {Sequence: "a list", Mapping: "a mapping", Unsupported: "an alias or a tag"}[type(node)]


def _quoted(node: Node) -> str:
    if not isinstance(node, Text):
        return _kind_of(node)
    return f"'{inert(node.text, _MAX_QUOTED)}'"


def _suggestion(name: str) -> str:
    """Return the closest known key, with its section, if one is close."""
    head = name[:_MAX_QUOTED].lower().replace("-", "_")
    leaves = {key.rpartition(".")[2]: key for key in BY_NAME}
    nearest = get_close_matches(head, [*BY_NAME, *SECTIONS], 1) or get_close_matches(
        head.rpartition(".")[2], list(leaves), 1, 0.8
    )
    return f" (closest: {leaves.get(nearest[0], nearest[0])})" if nearest else ""
