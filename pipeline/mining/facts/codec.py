"""Encode facts for the fact store: keys by content, compact values, no pickle."""

from __future__ import annotations

import json
from functools import lru_cache

from pipeline.git.trees import FileChange
from pipeline.mining.facts.compute import (
    ChangeFact,
    ChangeRequest,
    Fact,
    FactRequest,
    FunctionsFact,
    FunctionsRequest,
    MovesFact,
    MovesRequest,
    RenamesFact,
    RenamesRequest,
)
from pipeline.mining.facts.lineage import FunctionKey, Place
from pipeline.syntax.languages import language_of
from pipeline.syntax.parser import Function

_NONE = bytes(20)


def key_for(request: FactRequest) -> bytes:
    """Return the key of a fact: its kind, the object ids that it depends on, and the language if that matters."""
    match request:
        case FunctionsRequest():
            return b"F" + request.blob + _language(request.path)
        case ChangeRequest():
            languages = _language(request.old_path) + b"/" + _language(request.new_path)
            return b"C" + (request.old or _NONE) + (request.new or _NONE) + languages
        case RenamesRequest():
            return b"R" + request.old_tree + request.new_tree
        case MovesRequest():
            return b"M" + request.old_tree + request.new_tree


def diff_key(old_tree: bytes | None, new_tree: bytes) -> bytes:
    """Return the key of the file changes between two trees."""
    return b"D" + (old_tree or _NONE) + new_tree


def _language(path: bytes) -> bytes:
    return _language_of_ending(path[path.rfind(b".") + 1 :])


@lru_cache(maxsize=1024)
def _language_of_ending(ending: bytes) -> bytes:
    language = language_of(b"." + ending)
    return language.name.encode() if language else b""


def encode(fact: Fact) -> bytes:
    match fact:
        case FunctionsFact():
            rows = [fact.refused, *("\t".join(map(str, function)) for function in fact.functions)]
            return "\n".join(rows).encode()
        case ChangeFact():
            code = b"t" if fact.only_tests else b"?" if fact.code is None else b"1" if fact.code else b"0"
            head = code + bytes([len(fact.patch)]) + fact.patch
            return b"\n".join((head, _keys(fact.touched), _keys(fact.born), _keys(fact.vanished)))
        case RenamesFact():
            return json.dumps([[n.decode("latin-1"), o.decode("latin-1")] for n, o in fact.renames.items()]).encode()
        case MovesFact():
            return json.dumps([[*_place(new), *_place(old)] for new, old in fact.moves.items()]).encode()


def decode(request: FactRequest, value: bytes) -> Fact:
    """Return the fact that `encode` wrote for `request`. Raises ValueError on other bytes."""
    match request:
        case FunctionsRequest():
            refused, *rows = value.decode().split("\n")
            return FunctionsFact(tuple(_function(row) for row in rows), refused)
        case ChangeRequest():
            size = value[1]
            patch, rest = value[2 : 2 + size], value[3 + size :]
            touched, born, vanished = map(_read_keys, rest.split(b"\n"))
            code = {b"?": None, b"1": True, b"0": False, b"t": False}[value[:1]]
            return ChangeFact(touched, born, vanished, patch, code, only_tests=value[:1] == b"t")
        case RenamesRequest():
            return RenamesFact({new.encode("latin-1"): old.encode("latin-1") for new, old in json.loads(value)})
        case MovesRequest():
            return MovesFact({_read_place(*row[:3]): _read_place(*row[3:]) for row in json.loads(value)})


def _function(row: str) -> Function:
    name, ordinal, start, end = row.rsplit("\t", 3)
    return Function(name, int(ordinal), int(start), int(end))


def _keys(keys: tuple[FunctionKey, ...]) -> bytes:
    return "\t".join(f"{k.qualified_name}\v{k.ordinal}" for k in keys).encode()


def _read_keys(data: bytes) -> tuple[FunctionKey, ...]:
    return tuple(map(_read_key, data.split(b"\t"))) if data else ()


# The same functions are touched repeatedly: sharing their keys saves a third of all memory.
@lru_cache(maxsize=1 << 16)
def _read_key(item: bytes) -> FunctionKey:
    name, _, ordinal = item.decode().rpartition("\v")
    return FunctionKey(name, int(ordinal))


def _place(place: Place) -> tuple[str, str, int]:
    path, key = place
    return path.decode("latin-1"), key.qualified_name, key.ordinal


def _read_place(path: str, name: str, ordinal: int) -> Place:
    return path.encode("latin-1"), FunctionKey(name, int(ordinal))


def encode_changes(changes: list[FileChange]) -> bytes:
    return b"".join(
        b"%s%s%s%s" % (len(c.path).to_bytes(2, "big"), c.path, c.old or _NONE, c.new or _NONE) for c in changes
    )


def decode_changes(value: bytes) -> list[FileChange]:
    changes, at = [], 0
    while at < len(value):
        start = at + 2
        end = start + int.from_bytes(value[at:start], "big")
        old, new = value[end : end + 20], value[end + 20 : end + 40]
        changes.append(FileChange(value[start:end], old if old != _NONE else None, new if new != _NONE else None))
        at = end + 40
    return changes
