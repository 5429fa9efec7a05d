"""Tests that walk a table of cases."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest

Test = Callable[..., None]

MAX_ROW_CHARACTERS = 300


def each_row(names: str | Sequence[str], rows: Collection[Any]) -> Callable[[Test], Test]:
    """Run the test with every row and report all rows that fail.

    Takes the names and rows of `pytest.mark.parametrize`, but pays for collection and fixtures once instead of once
    per row. All rows share the fixtures: a row must not depend on what an earlier one did to them.
    """
    columns = [names] if isinstance(names, str) else list(names)

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def walk(*args: Any, **fixtures: Any) -> None:
            failures = []
            for row in rows:
                values = dict(zip(columns, [row] if isinstance(names, str) else row, strict=True))
                try:
                    test(*args, **fixtures, **values)
                except (Exception, pytest.fail.Exception) as error:
                    frames = traceback.extract_tb(error.__traceback__)[:2]  # this one and the test's
                    failures.append(f"{_render(values)}, line {frames[-1].lineno}: {type(error).__name__}: {error}")
            assert rows, "the table has no rows"
            if failures:
                pytest.fail(f"{len(failures)} of {len(rows)} rows fail\n" + "\n".join(failures), pytrace=False)

        signature = inspect.signature(test)
        left = [parameter for name, parameter in signature.parameters.items() if name not in columns]
        walk.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return walk

    return decorate


def _render(values: dict[str, Any]) -> str:
    text = repr(values)
    return text if len(text) <= MAX_ROW_CHARACTERS else f"{text[: MAX_ROW_CHARACTERS - 50]}...{text[-50:]}"
