from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from pipeline.reports.escape import ELLIPSIS, encodable, inert

ANY_TEXT = st.text(st.characters(), max_size=300)


def test_unprintable_characters_are_escaped() -> None:
    cases: list[tuple[str, str]] = [
        ("plain text, as it is", "plain text, as it is"),
        ("", ""),
        ("naïve 修复 ошибка", "naïve 修复 ошибка"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("nul\x00byte", r"nul\x00byte"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("gnp\u202eexe", r"gnp\u202eexe"),
        ("\u2066isolate\u2069", r"\u2066isolate\u2069"),
        ("\u200fmark\ufeff", r"\u200fmark\ufeff"),
        ("line\u2028separator", r"line\u2028separator"),
        ("lone \udcff surrogate", r"lone \udcff surrogate"),
        ("no\u00a0break", "no break"),
        ("family 👨\u200d👩\u200d👧", "family 👨\u200d👩\u200d👧"),
        ("<b>&amp;</b>", "<b>&amp;</b>"),
    ]
    wrong = [(text, got, shown) for text, shown in cases if (got := inert(text)) != shown]
    assert wrong == []


def test_long_text_is_truncated_visibly() -> None:
    assert inert("x" * 1_000_000) == "x" * 200 + ELLIPSIS
    assert inert("x" * 200) == "x" * 200
    assert inert("abcdef", max_length=3) == "abc" + ELLIPSIS


@given(ANY_TEXT)
def test_no_control_or_reordering_character_remains(text: str) -> None:
    left = {unicodedata.category(c) for c in inert(text).replace("\u200c", "").replace("\u200d", "")}
    assert not left & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


@given(ANY_TEXT)
def test_inert_text_is_unchanged(text: str) -> None:
    once = inert(text, max_length=300)
    assert inert(once, max_length=10_000) == once


@given(ANY_TEXT)
def test_every_text_becomes_encodable_and_text_without_surrogates_is_unchanged(text: str) -> None:
    made = encodable(text)
    made.encode("utf-8")
    assert made == text or any(unicodedata.category(c) == "Cs" for c in text)
