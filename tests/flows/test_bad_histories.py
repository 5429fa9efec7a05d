"""What a repository may hold that no test repository of a careful person holds: files, names, messages, dates."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.builders.broken import (
    HEALTHY_DENSITY,
    HEALTHY_PAIRS,
    Guest,
    git,
    healthy,
    write_by_hand,
)
from tests.builders.code import module
from tests.builders.history import DAY_S, START, History
from tests.flows.command import Assay

HEALTHY_POSITIVES = 10
FIX = 0.7  # the credit of a fix that touches one function
THREE = module("1", "1", "1")
ONE_CHANGED = module("2", "1", "1")


def at_year(year: int) -> int:
    return int(datetime(year, 6, 1, tzinfo=UTC).timestamp())


# Almost nothing


@pytest.mark.parametrize("options", [["--bare"], []], ids=["bare", "work tree"])
def test_an_empty_repository_is_refused(assay: Assay, tmp_path: Path, options: list[str]) -> None:
    git(tmp_path, "init", "-q", "--initial-branch=trunk", *options, "empty")
    said = assay.refuses(tmp_path / "empty")
    assert said == f"{tmp_path}/empty has no commits yet (branch trunk is empty): commit or fetch first"


def test_without_a_source_file_there_is_nothing_to_measure(assay: Assay, tmp_path: Path) -> None:
    history = History()
    for day in range(0, 900, 30):
        history.commit(f"fix: chapter {day}", {"book.md": f"# {day}\n"}, day=day)
    result = assay.judges(history.write(tmp_path / "book.git"))
    assert (result["verdict"], result["measurable"], result["pairs"], result["density"]) == ("SKIP", False, 0, None)
    assert result["reasons"][0] == "There is no source file at the head of this repository."


def test_a_single_commit_is_too_little_history(assay: Assay, tmp_path: Path) -> None:
    history = History()
    history.commit("start", {"a.py": THREE})
    result = assay.judges(history.write(tmp_path / "one.git"))
    assert (result["verdict"], result["measurable"], result["pairs"], result["density"]) == ("SKIP", False, 3, 0.0)
    assert "too little history: 0 days" in result["reasons"][0]


# Files that are no code


GUESTS: dict[str, Guest] = {
    "a submodule": ("library", "1" * 40, "2" * 40, "160000"),
    "a submodule with the name of a source file": ("library.py", "1" * 40, "2" * 40, "160000"),
    "a symbolic link out of the repository": ("passwords.py", "/etc/passwd", "/dev/zero", "120000"),
    "a symbolic link to itself": ("loop.py", "loop.py", "./loop.py", "120000"),
    "a symbolic link to the folder it is in": ("all", ".", "..", "120000"),
    "a link whose target is code": ("code.py", THREE, ONE_CHANGED, "120000"),
}


@pytest.mark.parametrize("guest", GUESTS.values(), ids=GUESTS)
def test_what_is_no_regular_file_counts_for_nothing(assay: Assay, tmp_path: Path, guest: Guest) -> None:
    result = assay.judges(healthy(guest).write(tmp_path / "guest.git"))
    assert (result["pairs"], result["density"], result["notes"]) == (HEALTHY_PAIRS, HEALTHY_DENSITY, [])


MINIFIED = "var a=" + ";".join(f"function f{n}(b){{return b+{n}}}" for n in range(20_000)) + ";\n"
LARGE = "".join(f"def f{n}(a):\n    b = a + {n}\n    return b\n" for n in range(40_000))


REFUSED: dict[str, tuple[Guest, str]] = {
    "a file over 1 MB": (("a.py", LARGE, LARGE + "# end\n", "100644"), "too large"),
    "minified code": (("a.js", MINIFIED, MINIFIED + "var z;\n", "100644"), "minified"),
    "a binary file": (("a.c", b"\0\1\2" * 1000, b"\0\1\2" * 1001, "100644"), "binary"),
}


@pytest.mark.parametrize(("guest", "why"), REFUSED.values(), ids=REFUSED)
def test_a_file_that_is_not_read_as_source_is_stated(assay: Assay, tmp_path: Path, guest: Guest, why: str) -> None:
    result = assay.judges(healthy(guest).write(tmp_path / "guest.git"))
    assert (result["pairs"], result["density"]) == (HEALTHY_PAIRS, HEALTHY_DENSITY)
    assert result["notes"] == [f"1 file not read as source: 1 {why}"]


def test_syntax_errors_cost_at_most_the_functions_they_stand_in(assay: Assay, tmp_path: Path) -> None:
    broken = module("1", "1", "1") + "def f3(:\n    (((\n\nclass\n  def ]]]\n"
    guests: list[Guest] = [
        ("a.py", broken, broken.replace("total += 1", "total += 2", 1), "100644"),
        ("a.js", "function (\n}}} class { => \n", "function (\n}}} class { => {\n", "100644"),
        ("a.c", "int f( {\n #if \n", "int f( {\n #if 1\n", "100644"),
    ]
    result = assay.judges(healthy(*guests).write(tmp_path / "errors.git"))
    assert HEALTHY_PAIRS < result["pairs"] <= HEALTHY_PAIRS + 3
    assert HEALTHY_POSITIVES <= result["positives"] <= HEALTHY_POSITIVES + 1


# Names and messages


NAMES: dict[str, bytes] = {
    "not UTF-8": b"caf\xe9/\xff\xfe.py",
    "overlong UTF-8 and half a surrogate": b"\xc0\xaf\xed\xa0\x80.py",
    "control characters": b"\x1b[2J\x07\x01\n\r\t\x7f.py",
    "right to left, and white space that is none": "a\u202egpj.\u2066\u200b\u2028b.py".encode(),
    "markup": b"<script>alert(1)</script>[bold]&amp;.py",
    "quotes and backslashes": b"'\"\\n$(touch x)`;.py",
    "options": b"--output=x/-rf.py",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_may_be_any_bytes(assay: Assay, tmp_path: Path, name: bytes) -> None:
    history = healthy((name, THREE, ONE_CHANGED, "100644"))
    repository = history.write(tmp_path / "names.git")
    result = assay.judges(repository)
    assert (result["pairs"], result["positives"]) == (HEALTHY_PAIRS + 3, HEALTHY_POSITIVES + 1)
    assert result["density"] == pytest.approx((HEALTHY_POSITIVES + 1) * FIX / (HEALTHY_PAIRS + 3), abs=1e-12)
    assert result["notes"] == []


@pytest.mark.parametrize(
    "message",
    [
        b"fix: caf\xe9 \xff\xfe",
        b"fix: \x1b[31mred\x1b]0;title\x07 \x08\x08\x00 \x9b1m",
        "fix: \u202eevil\u2066 <img src=x onerror=alert(1)> [red]".encode(),
        b"fix: " + b"long " * 200_000,
    ],
    ids=["not UTF-8", "control characters", "right to left and markup", "a megabyte"],
)
def test_a_message_may_be_any_bytes(assay: Assay, tmp_path: Path, message: bytes) -> None:
    history = healthy(("guest.py", THREE, ONE_CHANGED, "100644"), message=message)
    result = assay.judges(write_by_hand(history, tmp_path / "messages.git"))
    assert result["positives"] == HEALTHY_POSITIVES + 1


def test_nothing_a_repository_says_reaches_a_terminal_or_a_page_alive(assay: Assay, tmp_path: Path) -> None:
    name = b"\x1b[2J<script>alert(1)</script>\x9b\xff\n.py"
    said = "fix: \x1b]0;title\x07 <img src=x onerror=alert(1)> \u202e [bold]".encode()
    history = healthy((name, THREE, ONE_CHANGED, "100644"), message=said)
    repository = write_by_hand(history, tmp_path / "\x1b[31m<b>loud.git")
    text, page = assay.shows(repository, tmp_path / "report.html")
    for written in (text, page):
        assert all(letter.isprintable() or letter == "\n" for letter in written)
        assert "\u202e" not in written
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "<b>loud" not in page


# Dates


def with_dates(change: Callable[[int, int], int]) -> History:
    """The healthy history with other dates: `change(number of the commit, its time)` in seconds since 1970."""
    history = healthy()
    for number, commit in enumerate(history.commits):
        commit.authored_at = commit.committed_at = change(number, commit.committed_at)
    return history


LAST = len(healthy().commits) - 1
STRAYS = {
    "before 1970 in the middle": lambda number, at: -5_000_000_000 if number in (7, 20, 30) else at,
    "in 2099 in the middle": lambda number, at: at_year(2099) if number in (7, 20, 30) else at,
    "before 1970 on the head": lambda number, at: -1 if number == LAST else at,
    "so early that no calendar has a name for it": lambda number, at: -(10**17) if number == 20 else at,
    "so late that no calendar has a name for it": lambda number, at: 10**17 if number == 20 else at,
}


@pytest.mark.parametrize("change", STRAYS.values(), ids=STRAYS)
def test_a_stray_date_moves_no_window(assay: Assay, tmp_path: Path, change: Callable[[int, int], int]) -> None:
    result = assay.judges(write_by_hand(with_dates(change), tmp_path / "dates.git"))
    assert (result["pairs"], result["density"]) == (HEALTHY_PAIRS, HEALTHY_DENSITY)


def test_a_history_before_1970_is_measured_like_any_other(assay: Assay, tmp_path: Path) -> None:
    back = START - at_year(1960)
    result = assay.judges(write_by_hand(with_dates(lambda number, at: at - back), tmp_path / "dates.git"))
    assert result["as_of"].startswith("1962-11-")
    assert (result["pairs"], result["density"]) == (HEALTHY_PAIRS, HEALTHY_DENSITY)


@pytest.mark.parametrize(
    "change",
    [
        lambda number, at: at_year(2099) if number == LAST else at,
        lambda number, at: at + 80 * 365 * DAY_S,
        lambda number, at: 10**17 + number,
        lambda number, at: 10**17 if number == LAST else at,
    ],
    ids=["the head", "all of it", "all of it, beyond any calendar", "the head, beyond any calendar"],
)
def test_nothing_is_seen_later_than_today(assay: Assay, tmp_path: Path, change: Callable[[int, int], int]) -> None:
    result = assay.judges(write_by_hand(with_dates(change), tmp_path / "dates.git"))
    assert datetime.fromisoformat(result["as_of"]).timestamp() <= time.time()
    assert result["verdict"] == "SKIP"
    assert any(note.startswith("the newest commit is dated in the future") for note in result["notes"])


@pytest.mark.parametrize("first", [at_year(1960), -(10**10), -(10**17)])
def test_a_first_commit_of_long_ago_leaves_the_windows_their_full_length(
    assay: Assay, tmp_path: Path, first: int
) -> None:
    result = assay.judges(
        write_by_hand(with_dates(lambda number, at: first if number == 0 else at), tmp_path / "dates.git")
    )
    assert (result["windows"]["window_days"], result["windows"]["horizon_days"]) == (730, 365)


@pytest.mark.parametrize("first", [-(10**10), -(10**12), -(10**17)])
def test_a_history_from_before_any_calendar_is_judged(assay: Assay, tmp_path: Path, first: int) -> None:
    assay.judges(write_by_hand(with_dates(lambda number, at: at - START + first), tmp_path / "dates.git"))
