"""Untrusted patterns: none can hang, and invalid ones are rejected with a reason."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.classify.patterns import Pattern, compile_expression, compile_glob
from tests.rows import each_row


@each_row("text", ["(a*)*b", "(x+x+)+y", "(a|aa)+$", "(?:a?){30}a{30}", "([a-z]+)*[0-9]", "(.*)(.*)(.*)[^a]b"])
def test_an_expression_that_hangs_other_engines_takes_no_time(text: str) -> None:
    began = time.process_time()
    pattern = compile_expression(text)
    for letter in (b"a", b"x"):
        pattern.matches(letter * 4_096)
    assert time.process_time() - began < 0.5


@each_row("text", ["*a" * 200 + "b", "**/a*" * 80 + "x", "?" * 490, "[!b]" * 120])
def test_a_glob_that_hangs_other_engines_takes_no_time(text: str) -> None:
    began = time.process_time()
    compile_glob(text).matches(b"a" * 4_096)
    assert time.process_time() - began < 0.5


@each_row(
    ("text", "reason"),
    [
        ("", "empty"),
        ("x" * 501, "501 bytes"),
        ("\ud800", "not valid text"),
        ("(", "missing"),
        ("(?=x)", "RE2 rejects it"),
        (r"(a)\1", "RE2 rejects it"),
        ("(?:(?:a{1,30}){1,30}){1,30}", "RE2 rejects it"),
        (r"\pL{200}", "RE2 rejects it|repeats too much"),
        (r"\pL{9}", "repeats too much"),
        ("x?", "every subject"),
        ("|a", "every subject"),
    ],
)
def test_an_invalid_expression_is_rejected_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        compile_expression(text)


@each_row("text", ["", "!a", "#a", "/", " ", "[a", "a\\", "[[:alpha:]].c", "a" * 501, "\udcff"])
def test_an_invalid_glob_is_rejected_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        compile_glob(text)


def test_a_reason_does_not_quote_the_pattern() -> None:
    with pytest.raises(ValueError, match=r"^RE2 rejects it \(missing \)\)$"):
        compile_expression("(@everyone")


def compiled(compile_one: Callable[[str], Pattern], text: str) -> Pattern | str:
    try:
        return compile_one(text)
    except ValueError as refused:
        return str(refused)


@settings(deadline=None)
@given(st.sampled_from([compile_expression, compile_glob]), st.text(max_size=30), st.binary(max_size=60))
def test_any_text_is_compiled_or_rejected(compile_one: Callable[[str], Pattern], text: str, searched: bytes) -> None:
    found = compiled(compile_one, text)
    assert found.isprintable() if isinstance(found, str) else found.matches(searched) in (True, False)


GLOBS = [
    *[
        "a",
        "/a",
        "a/",
        "a/b",
        "/a/b/",
        "*.py",
        "a*",
        "*/b",
        "**/b",
        "a/**",
        "a/**/b",
        "?",
        "[ab].py",
        "[!a].py",
        "[a-c]*",
    ],
    *["\\!a", "\\#a", "a\\*b", "*a*b*", "**", "a**b", "a b", "b.*", "**/a/*.py", "a/*/b", "*/*", "a//b", "./a"],
]
PATHS = [
    "a",
    "b",
    "a/b",
    "b/a",
    "a/c/b",
    "c/a/b",
    "a.py",
    "x/a.py",
    "a/b/c.py",
    "!a",
    "#a",
    "a*b",
    "axb",
    "a b",
    "d.py",
    "c/b/a.py",
]


def test_globs_match_as_in_git(tmp_path: Path) -> None:
    """Checked against `git check-ignore`, which reads the same patterns."""
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    asked = "\0".join(PATHS) + "\0"
    for glob in GLOBS:
        (tmp_path / ".git" / "info" / "exclude").write_text(glob + "\n")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), "check-ignore", "--no-index", "--stdin", "-z"],
            input=asked, capture_output=True, text=True, check=False,
        )  # fmt: skip
        by_git = set(done.stdout.split("\0")[:-1])
        pattern = compile_glob(glob)
        assert {path for path in PATHS if pattern.matches(path.encode())} == by_git, glob
