"""Tests that walk a table of cases."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable, Collection, Sequence
from typing import Any

import pytest
from _pytest._io.saferepr import saferepr

Test = Callable[..., None]


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
                    line = traceback.extract_tb(error.__traceback__)[1].lineno
                    failures.append(f"{saferepr(values)}, line {line}: {type(error).__name__}: {error}")
            assert rows, "the table has no rows"
            if failures:
                pytest.fail(f"{len(failures)} of {len(rows)} rows fail\n" + "\n".join(failures), pytrace=False)

        signature = inspect.signature(test)
        left = [parameter for name, parameter in signature.parameters.items() if name not in columns]
        walk.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return walk

    return decorate
