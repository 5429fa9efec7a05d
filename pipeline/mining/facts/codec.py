"""Encode facts for the fact store: keys by content, compact values, no pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
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
            return b"R" + request.old_tree + request.new_tree + _digest(change.path for change in request.changes)
        case MovesRequest():
            paths = (path for side in (request.vanished, request.born) for _, path, _ in side)
            return b"M" + request.old_tree + request.new_tree + _digest(paths)


def _digest(paths: Iterable[bytes]) -> bytes:
    """Return a hash of the files compared: the rules for paths can change between runs."""
    return hashlib.blake2b(b"\0".join(paths), digest_size=8).digest()


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
            head = fact.refused if fact.unread is None else f"{fact.refused}\t{fact.unread}"
            lines = [head, *("\t".join(map(str, function)) for function in fact.functions)]
            return "\n".join(lines).encode()
        case ChangeFact():
            code = b"t" if fact.only_tests else b"?" if fact.code is None else b"1" if fact.code else b"0"
            start = code + bytes([len(fact.patch)]) + fact.patch
            rows = [start, _keys(fact.touched), _keys(fact.born), _keys(fact.vanished)]
            if fact.renumbered:  # never by the first version of the rules
                rows.append(_keys(tuple(key for pair in fact.renumbered for key in pair)))
            return b"\n".join(rows)
        case RenamesFact():
            return json.dumps([[n.decode("latin-1"), o.decode("latin-1")] for n, o in fact.renames.items()]).encode()
        case MovesFact():
            moves = (
                [*_place(new), *_place(old), *([1] if old in fact.unchanged else [])] for new, old in fact.moves.items()
            )
            return json.dumps(list(moves)).encode()


def decode(request: FactRequest, value: bytes) -> Fact:
    """Return the fact that `encode` wrote for `request`. Raises ValueError on other bytes."""
    match request:
        case FunctionsRequest():
            head, *rows = value.decode().split("\n")
            refused, has_errors, unread = head.partition("\t")
            return FunctionsFact(
                tuple(_function(row) for row in rows), refused, unread=int(unread) if has_errors else None
            )
        case ChangeRequest():
            size = value[1]
            patch, rest = value[2 : 2 + size], value[3 + size :]
            touched, born, vanished, *more = map(_read_keys, rest.split(b"\n"))
            code = {b"?": None, b"1": True, b"0": False, b"t": False}[value[:1]]
            renumbered = tuple(zip(more[0][::2], more[0][1::2], strict=True)) if more else ()
            tests = value[:1] == b"t"
            return ChangeFact(touched, born, vanished, patch, code, renumbered=renumbered, only_tests=tests)
        case RenamesRequest():
            return RenamesFact({new.encode("latin-1"): old.encode("latin-1") for new, old in json.loads(value)})
        case MovesRequest():
            found = [(_read_place(*row[:3]), _read_place(*row[3:6]), row[6:]) for row in json.loads(value)]
            return MovesFact(
                {new: old for new, old, _ in found}, unchanged=frozenset(o for _, o, same in found if same)
            )


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
