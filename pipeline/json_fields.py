"""JSON from a file that anyone may have written: values read field by field, errors that name the place."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Literal, NoReturn, TypeVar

from pipeline.records import AssayError

T = TypeVar("T")
TextT = TypeVar("TextT", bound=str)

MOST_BYTES = 16 << 20
LONGEST_TEXT = 500


class MalformedError(AssayError):
    """A JSON text is not what it should be; the message names where."""


def parse_object(raw: bytes, where: str) -> Fields:
    """The JSON object in `raw`. Raises MalformedError for anything else, also for NaN, depth bombs and huge texts."""
    if len(raw) > MOST_BYTES:
        raise MalformedError(f"{where}: larger than {MOST_BYTES >> 20} MB")
    try:
        value = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant, object_pairs_hook=_object)
    except RecursionError:
        raise MalformedError(f"{where}: nested too deep") from None
    except UnicodeDecodeError:
        raise MalformedError(f"{where}: not UTF-8") from None
    except ValueError as error:  # JSONDecodeError, and integers of thousands of digits
        raise MalformedError(f"{where}: not valid JSON ({str(error)[:100]})") from None
    return Fields(value, where)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key stands twice in an object")
    return values


class Fields:
    """A JSON object whose fields are taken one by one; every complaint says where in the file and what is wanted."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise MalformedError(f"{where}: an object is wanted, not {_kind(value)}")
        self._values: dict[str, Any] = value
        self.where = where

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self._values)

    def require_schema(self, version: int) -> None:
        found = self._take("schema_version")
        if type(found) is not int or found != version:
            self.fail("schema_version", f"this version of Assay reads {version}, not {_short(found)}")

    def text(self, key: str, *, empty: bool = False) -> str:
        value = self._take(key)
        if not isinstance(value, str) or len(value) > LONGEST_TEXT or not value.isprintable():
            self.fail(key, f"a printable text of at most {LONGEST_TEXT} characters is wanted, not {_short(value)}")
        if not value and not empty:
            self.fail(key, "is empty")
        return value

    def choice(self, key: str, choices: tuple[TextT, ...]) -> TextT:
        value = self._take(key)
        for choice in choices:
            if value == choice:
                return choice
        self.fail(key, f"one of {', '.join(choices)} is wanted, not {_short(value)}")

    def number(self, key: str, low: float, high: float) -> float:
        value = self._take(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            self.fail(key, f"a number from {low:g} to {high:g} is wanted, not {_short(value)}")
        return float(value)

    def whole(self, key: str, low: int = 0, high: int = 1 << 62) -> int:
        value = self._take(key)
        if type(value) is not int or not low <= value <= high:
            self.fail(key, f"a whole number of at least {low} is wanted, not {_short(value)}")
        return value

    def flag(self, key: str) -> bool:
        value = self._take(key)
        if not isinstance(value, bool):
            self.fail(key, f"true or false is wanted, not {_short(value)}")
        return value

    def optional(self, key: str, read: Callable[[], T]) -> T | None:
        """`read()` where the field is there and not null."""
        return read() if key in self else None

    def value(self, key: str) -> Any:
        """Whatever stands there, for another reader."""
        return self._take(key)

    def inner(self, key: str) -> Fields:
        return Fields(self._take(key), f"{self.where}.{key}")

    def objects(self, key: str) -> Iterator[Fields]:
        for index, value in enumerate(self._list(key)):
            yield Fields(value, f"{self.where}.{key}[{index}]")

    def rows(self, key: str, names: tuple[str, ...]) -> Iterator[Fields]:
        """A list of lists of so many values, each to be read as an object with these names."""
        for index, value in enumerate(self._list(key)):
            if not isinstance(value, list) or len(value) != len(names):
                self.fail(key, f"lists of {' and '.join(names)} are wanted")
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
            self.fail(key, f"a list is wanted, not {_kind(value)}")
        return value


_KINDS: dict[type, Literal["a list", "a text", "a number", "true or false", "null"]] = {
    list: "a list",
    str: "a text",
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
