"""JSON of a file -> a frozen dataclass of ours, every field there and of its type, or ValueError. Pure."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union

_T = TypeVar("_T")


def loads(content: bytes) -> Any:
    """Standard JSON: no NaN, no key twice. Raises ValueError."""
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("nested too deep") from None


def dumps(value: object) -> bytes:
    """The same value makes the same bytes. Raises ValueError for NaN and infinity."""
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def parse(kind: type[_T], value: object) -> _T:
    """The dataclass `kind` from what `dataclasses.asdict` made of it. Raises ValueError, naming the field."""
    found: _T = _parsed(kind, value, kind.__name__)
    return found


def _parsed(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        _require(isinstance(value, dict) and value.keys() == hints.keys(), where)
        return kind(**{name: _parsed(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        _require(len(inner) == 2 and inner[1] is type(None), where)
        return None if value is None else _parsed(inner[0], value, where)
    if origin is Literal:
        _require(value in inner, where)
        return value
    if origin is tuple:
        _require(isinstance(value, list) and len(inner) == 2 and inner[1] is Ellipsis, where)
        return tuple(_parsed(inner[0], part, f"{where}[{i}]") for i, part in enumerate(value))
    if origin is Mapping:
        _require(isinstance(value, dict) and inner[0] is str, where)
        return {key: _parsed(inner[1], part, f"{where}.{key}") for key, part in value.items()}
    if kind is float:
        _require(type(value) in (int, float), where)
        return value  # 1 stays 1: it is written as it was
    _require(kind in (int, str, bool) and type(value) is kind, where)
    return value


def _require(holds: bool, where: str) -> None:
    if not holds:
        raise ValueError(f"{where} is not what it should be")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    _require(len(found) == len(pairs), "a key that stands twice")
    return found
