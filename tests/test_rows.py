from __future__ import annotations

import pytest

from tests.rows import each_row


def test_every_row_that_fails_is_reported_with_its_reason(tmp_path: object) -> None:
    walked = []

    @each_row(("number", "expected"), [(2, 4), (3, 6), (0, 0), (5, 25), ("x", 1)])
    def is_squared(fixture: object, number: int, expected: int) -> None:
        walked.append(number)
        assert fixture is tmp_path
        assert number**2 == expected

    with pytest.raises(pytest.fail.Exception) as caught:
        is_squared(fixture=tmp_path)
    first, *failures = str(caught.value).splitlines()
    assert walked == [2, 3, 0, 5, "x"]
    assert first == "2 of 5 rows fail"
    assert "{'number': 3, 'expected': 6}" in failures[0]
    assert "AssertionError: assert (3 ** 2) == 6" in failures[0]
    assert "{'number': 'x', 'expected': 1}" in failures[-1]
    assert "TypeError" in failures[-1]


def test_an_expected_error_that_does_not_occur_fails_its_row() -> None:
    @each_row("text", ["1", "x"])
    def is_refused(text: str) -> None:
        with pytest.raises(ValueError, match="invalid literal"):
            int(text)

    with pytest.raises(pytest.fail.Exception, match=r"^1 of 2 rows fail\n.*'1'.*DID NOT RAISE"):
        is_refused()


def test_an_empty_table_is_an_error() -> None:
    @each_row("text", [])
    def never_called(text: str) -> None: ...

    with pytest.raises(AssertionError, match="no rows"):
        never_called()
