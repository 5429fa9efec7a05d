"""`.github/assay.yml` → what applies, and a problem by key and line for everything that does not.

1. the bytes become a tree with lines, or nothing applies       yaml_tree
2. every key is looked up in the table; unknown ones are named with the nearest known one
3. every value is read by the kind of its key; a wrong one is left out, of a list only the wrong item

Nothing of the file is quoted but names and short values, and those inert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any, Final

from bot.repo_config.keys import (
    BY_NAME,
    LISTS,
    LONGEST_ITEM_BYTES,
    MODEL_NAME,
    MOST_ITEMS,
    MOST_MINUTES,
    PERMISSIONS,
    SECTIONS,
    Key,
    Kind,
)
from bot.repo_config.repository_config import ConfigProblem, ParsedConfig, RepositoryConfig
from bot.repo_config.yaml_tree import Listing, Mapping, Node, NotRead, Refused, Text, read_tree
from pipeline.classify.patterns import compile_expression, compile_glob
from pipeline.reports.escape import inert

MOST_PROBLEMS: Final = 100
_SHOWN_CHARACTERS = 40
_NO_BOOLEANS = ("y", "yes", "on", "n", "no", "off")


class _Wrong(Exception):
    """A value that does not apply, with the reason."""


def parse_config(raw: bytes) -> ParsedConfig:
    """Read a file. Total: whatever the bytes, there is an answer, in time that goes with their number."""
    try:
        tree = read_tree(raw)
    except NotRead as error:
        return ParsedConfig(problems=(ConfigProblem(error.line, "", f"{error.message}: nothing in it applies"),))
    problems: list[ConfigProblem] = []
    values: dict[str, Any] = {}
    if isinstance(tree.root, Mapping):
        _read_mapping(tree.root, "", values, problems)
    elif tree.root is not None and not (isinstance(tree.root, Text) and tree.root.is_null):
        problems.append(ConfigProblem(tree.root.line, "", f"{_kind_of(tree.root)} stands where `key: value` lines do"))
    if tree.second_at:
        problems.append(ConfigProblem(tree.second_at, "", "a second document begins here, and only the first is read"))
    return ParsedConfig(RepositoryConfig(**values), tuple(_capped(problems)))


def _capped(problems: list[ConfigProblem]) -> Iterator[ConfigProblem]:
    yield from problems[:MOST_PROBLEMS]
    if len(problems) > MOST_PROBLEMS:
        yield ConfigProblem(0, "", f"{len(problems) - MOST_PROBLEMS} more problems")


def _read_mapping(mapping: Mapping, above: str, values: dict[str, Any], problems: list[ConfigProblem]) -> None:
    """Put what applies into `values`, by field, and the rest into `problems`. `above` is `finetune.` or nothing."""
    seen: dict[str, int] = {}
    for key_node, value in mapping.entries:
        if not isinstance(key_node, Text):
            problems.append(ConfigProblem(key_node.line, above.rstrip("."), f"{_kind_of(key_node)} cannot be a key"))
            continue
        name = above + key_node.text
        shown = inert(name, _SHOWN_CHARACTERS)
        if name in seen:
            problems.append(
                ConfigProblem(key_node.line, shown, f"stands in line {seen[name]} already: only that one counts")
            )
            continue
        seen[name] = key_node.line
        if name in SECTIONS:
            _read_section(name, value, values, problems)
        elif name in BY_NAME:
            _read_key(BY_NAME[name], value, values, problems)
        else:
            problems.append(ConfigProblem(key_node.line, shown, f"is no key of this file{_suggestion(name)}"))


def _read_section(name: str, value: Node, values: dict[str, Any], problems: list[ConfigProblem]) -> None:
    if isinstance(value, Mapping):
        _read_mapping(value, f"{name}.", values, problems)
        return
    why = f"must be a section of `key: value` lines, not {_kind_of(value)}"
    problems.append(ConfigProblem(value.line, name, value.why if isinstance(value, Refused) else why))


def _read_key(key: Key, value: Node, values: dict[str, Any], problems: list[ConfigProblem]) -> None:
    try:
        if isinstance(value, Refused):
            raise _Wrong(value.why)
        if isinstance(value, Text) and value.is_null:
            raise _Wrong("has no value: give one, or remove the key")
        if key.kind in LISTS:
            values[key.field] = _items(key, value, problems)
        else:
            values[key.field] = _READERS[key.kind](value)
    except _Wrong as wrong:
        problems.append(ConfigProblem(value.line, key.name, str(wrong)))


def _items(key: Key, value: Node, problems: list[ConfigProblem]) -> tuple[str, ...]:
    """The items of a list that apply. Raises _Wrong for what is no list."""
    if not isinstance(value, Listing):
        raise _Wrong(f"must be a list, one `- item` a line, not {_kind_of(value)}")
    if len(value.items) > MOST_ITEMS:
        line = value.items[MOST_ITEMS].line
        problems.append(
            ConfigProblem(line, key.name, f"has {len(value.items)} items: the first {MOST_ITEMS} apply, no more")
        )
    found = []
    for number, item in enumerate(value.items[:MOST_ITEMS], 1):
        try:
            found.append(_checked_item(key.kind, _text(item)))
        except _Wrong as wrong:
            problems.append(ConfigProblem(item.line, key.name, f"item {number} is left out: {wrong}"))
    return tuple(dict.fromkeys(found))


def _checked_item(kind: Kind, text: str) -> str:
    if len(text.encode("utf-8", "replace")) > LONGEST_ITEM_BYTES:
        raise _Wrong(f"it is longer than {LONGEST_ITEM_BYTES} bytes")
    if not text.strip():
        raise _Wrong("it is empty")
    try:
        if kind == "expressions":
            compile_expression(text)
        elif kind == "globs":
            compile_glob(text)
    except ValueError as error:
        raise _Wrong(str(error)) from None
    return text


def _text(node: Node) -> str:
    """The text of a node. Raises _Wrong for what is none, in YAML's eyes or in those of UTF-8."""
    if isinstance(node, Refused):
        raise _Wrong(node.why)
    if not isinstance(node, Text):
        raise _Wrong(f"must be text, not {_kind_of(node)}")
    if node.is_null:
        raise _Wrong("it is empty")
    if node.is_number or node.boolean is not None:
        raise _Wrong(f"{_quoted(node)} is not text unless it stands in quotes")
    if any("\ud800" <= character <= "\udfff" for character in node.text):
        raise _Wrong("it is no text")
    return node.text


def _permission(node: Node) -> str:
    text = _text(node)
    if text not in PERMISSIONS:
        raise _Wrong(f"must be one of {', '.join(PERMISSIONS)}, not {_quoted(node)}")
    return text


def _boolean(node: Node) -> bool:
    if isinstance(node, Text) and node.boolean is not None:
        return node.boolean
    if isinstance(node, Text) and node.text.lower() in _NO_BOOLEANS:
        raise _Wrong(f"must be true or false; {_quoted(node)} is a word like any other")
    raise _Wrong(f"must be true or false, not {_quoted(node)}")


def _model(node: Node) -> str:
    text = _text(node)
    if not MODEL_NAME.fullmatch(text):
        raise _Wrong(f"must name a model as owner/name, not {_quoted(node)}")
    return text


def _minutes(node: Node) -> int:
    if isinstance(node, Text) and not node.quoted and node.text.isascii() and node.text.isdecimal():
        minutes = int(node.text[:9])
        if 1 <= minutes <= MOST_MINUTES:
            return minutes
    raise _Wrong(f"must be a whole number of minutes from 1 to {MOST_MINUTES}, not {_quoted(node)}")


_READERS: Final[dict[Kind, Callable[[Node], Any]]] = {
    "permission": _permission,
    "boolean": _boolean,
    "model": _model,
    "minutes": _minutes,
}


def _kind_of(node: Node) -> str:
    if isinstance(node, Text):
        return "a single value"
    return {Listing: "a list", Mapping: "a mapping", Refused: "an alias or a tag"}[type(node)]


def _quoted(node: Node) -> str:
    if not isinstance(node, Text):
        return _kind_of(node)
    return f"'{inert(node.text, _SHOWN_CHARACTERS)}'"


def _suggestion(name: str) -> str:
    """The known key that is meant, if any is near; a key that stands outside of its section is told the section."""
    head = name[:_SHOWN_CHARACTERS].lower().replace("-", "_")
    leaves = {key.rpartition(".")[2]: key for key in BY_NAME}
    nearest = get_close_matches(head, [*BY_NAME, *SECTIONS], 1) or get_close_matches(
        head.rpartition(".")[2], list(leaves), 1, 0.8
    )
    return f": did you mean {leaves.get(nearest[0], nearest[0])}?" if nearest else ""
