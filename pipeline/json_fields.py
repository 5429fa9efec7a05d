"""Strict JSON: bytes to values, values to typed records, and errors that name the field.

`Fields` reads an object field by field and bounds every value: for files and messages of others.
`parse_record` reads a whole dataclass that `dataclasses.asdict` wrote: for files of our own.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NoReturn, TypeVar, Union

from pipeline.records import AssayError

T = TypeVar("T")
TextT = TypeVar("TextT", bound=str)

MAX_BYTES = 16 << 20
MAX_TEXT_LENGTH = 500


class MalformedError(AssayError):
    """JSON of the wrong shape; the message names the place."""


def parse_json(raw: bytes, where: str, max_bytes: int = MAX_BYTES) -> Any:
    """Parse standard JSON in UTF-8. Raises MalformedError for NaN, repeated keys, depth bombs and huge texts too."""
    if len(raw) > max_bytes:
        raise MalformedError(f"{where}: larger than {max_bytes >> 20} MB")
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant, object_pairs_hook=_object)
    except RecursionError:
        raise MalformedError(f"{where}: nested too deep") from None
    except UnicodeDecodeError:
        raise MalformedError(f"{where}: not UTF-8") from None
    except ValueError as error:  # JSONDecodeError, and integers of thousands of digits
        raise MalformedError(f"{where}: not valid JSON ({str(error)[:100]})") from None


def parse_object(raw: bytes, where: str) -> Fields:
    """Parse a JSON object. Raises MalformedError for anything else."""
    return Fields(parse_json(raw, where), where)


def parse_record(kind: type[T], value: object, where: str = "") -> T:
    """Build the dataclass `kind` from the values that `dataclasses.asdict` made of one.

    Every field must be present and of its annotated type. Raises MalformedError that names the field, also for values
    that the dataclass itself refuses.
    """
    record: T = _parsed(kind, value, where)
    return record


def render_json(value: object) -> bytes:
    """Render sorted, indented JSON: equal values give equal bytes. Raises ValueError for NaN and infinity."""
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


class Fields:
    """A JSON object, read field by field; every error says where in the file and what was expected."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise MalformedError(f"{where}: expected an object, not {_kind(value)}")
        self._values: dict[str, Any] = value
        self.where = where

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._values)

    def require_schema(self, version: int) -> None:
        value = self._take("schema_version")
        if type(value) is not int or value != version:
            self.fail("schema_version", f"this version of Assay reads {version}, not {_short(value)}")

    def text(self, key: str, *, empty: bool = False) -> str:
        value = self._take(key)
        if not isinstance(value, str) or len(value) > MAX_TEXT_LENGTH or not value.isprintable():
            self.fail(key, f"expected printable text of at most {MAX_TEXT_LENGTH} characters, not {_short(value)}")
        if not value and not empty:
            self.fail(key, "is empty")
        return value

    def choice(self, key: str, choices: tuple[TextT, ...]) -> TextT:
        value = self._take(key)
        for choice in choices:
            if value == choice:
                return choice
        self.fail(key, f"expected one of {', '.join(choices)}, not {_short(value)}")

    def number(self, key: str, low: float, high: float) -> float:
        value = self._take(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            self.fail(key, f"expected a number from {low:g} to {high:g}, not {_short(value)}")
        return float(value)

    def whole(self, key: str, low: int = 0, high: int = 1 << 62) -> int:
        value = self._take(key)
        if type(value) is not int or not low <= value <= high:
            self.fail(key, f"expected a whole number of at least {low}, not {_short(value)}")
        return value

    def flag(self, key: str) -> bool:
        value = self._take(key)
        if not isinstance(value, bool):
            self.fail(key, f"expected true or false, not {_short(value)}")
        return value

    def optional(self, key: str, read: Callable[[], T]) -> T | None:
        """Return `read()` if the field is present and not null."""
        return read() if key in self else None

    def value(self, key: str) -> Any:
        """Return the value unchecked, for another parser."""
        return self._take(key)

    def inner(self, key: str) -> Fields:
        return Fields(self._take(key), f"{self.where}.{key}")

    def objects(self, key: str) -> Iterator[Fields]:
        for index, value in enumerate(self._list(key)):
            yield Fields(value, f"{self.where}.{key}[{index}]")

    def rows(self, key: str, names: tuple[str, ...]) -> Iterator[Fields]:
        """Read a list of lists, each as an object with these names."""
        for index, value in enumerate(self._list(key)):
            if not isinstance(value, list) or len(value) != len(names):
                self.fail(key, f"expected lists of {' and '.join(names)}")
            yield Fields(dict(zip(names, value, strict=True)), f"{self.where}.{key}[{index}]")

    def texts(self, key: str) -> tuple[str, ...]:
        items = self._numbered(key)
        return tuple(items.text(item) for item in items.keys)

    def numbers(self, key: str, low: float, high: float) -> tuple[float, ...]:
        items = self._numbered(key)
        return tuple(items.number(item, low, high) for item in items.keys)

    def fail(self, key: str, complaint: str) -> NoReturn:
        raise MalformedError(f"{self.where}.{key}: {complaint}")

    def _take(self, key: str) -> Any:
        if key not in self._values:
            self.fail(key, "is missing")
        return self._values[key]

    def _numbered(self, key: str) -> Fields:
        return Fields({str(i): value for i, value in enumerate(self._list(key))}, f"{self.where}.{key}")

    def _list(self, key: str) -> list[Any]:
        value = self._take(key)
        if not isinstance(value, list):
            self.fail(key, f"expected a list, not {_kind(value)}")
        return value


def _parsed(kind: Any, value: Any, where: str) -> Any:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _parsed_record(kind, value, where)
    if origin in (Union, types.UnionType):
        _expect(len(inner) == 2 and inner[1] is type(None), value, where, "another type")
        return None if value is None else _parsed(inner[0], value, where)
    if origin is Literal:
        _expect(value in inner, value, where, f"one of {', '.join(map(str, inner))}")
        return value
    if origin is tuple:
        _expect(isinstance(value, list) and len(inner) == 2 and inner[1] is Ellipsis, value, where, "a list")
        return tuple(_parsed(inner[0], part, f"{where}[{i}]") for i, part in enumerate(value))
    if origin is Mapping:
        _expect(isinstance(value, dict) and inner[0] is str, value, where, "an object")
        return {key: _parsed(inner[1], part, _join(where, key)) for key, part in value.items()}
    if kind is float:
        _expect(type(value) in (int, float), value, where, "a number")
        return value  # 1 stays 1, so that it is rendered as it was read
    _expect(kind in _NAMES and type(value) is kind, value, where, _NAMES.get(kind, "another type"))
    return value


def _parsed_record(kind: type[Any], value: Any, where: str) -> Any:
    hints = typing.get_type_hints(kind)
    _expect(isinstance(value, dict), value, where, "an object")
    for name in sorted(hints.keys() ^ value.keys()):
        problem = "is missing" if name in hints else "is unknown"
        raise MalformedError(f"{_join(where, _short_key(name))}: {problem}")
    fields = {name: _parsed(hint, value[name], _join(where, name)) for name, hint in hints.items()}
    try:
        return kind(**fields)
    except MalformedError:
        raise
    except (AssayError, ArithmeticError, TypeError, ValueError) as error:
        raise MalformedError(f"{where}: {error}" if where else str(error)) from None


def _expect(holds: bool, value: object, where: str, expected: str) -> None:
    if not holds:
        complaint = f"expected {expected}, not {_short(value)}"
        raise MalformedError(f"{where}: {complaint}" if where else complaint)


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("an object repeats a key")
    return values


_NAMES: dict[type, str] = {int: "a whole number", str: "text", bool: "true or false"}
_KINDS: dict[type, str] = {
    list: "a list",
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "an object")


def _short(value: object) -> str:
    if isinstance(value, (list, dict)):
        return _kind(value)
    shown = ascii(value) if not isinstance(value, int) or abs(value) < 1 << 64 else "a huge number"
    return shown if len(shown) <= 40 else shown[:37] + "..."


def _short_key(key: str) -> str:
    return key if key.isidentifier() and len(key) <= 40 else _short(key)
