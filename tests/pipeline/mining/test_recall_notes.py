"""Histories whose subjects name issues of another tracker are told that fixes are probably missed."""

from __future__ import annotations

from pipeline.classify.references import begins_with_key
from pipeline.label_recipe import MESSAGES, MESSAGES_1, LabelRecipe
from tests.builders.code import module
from tests.builders.history import History
from tests.pipeline.mining.mined import measure_history
from tests.rows import each_row


def notes_of(subject: str, fixes: int, others: int = 0, recipe: LabelRecipe = MESSAGES) -> tuple[str, ...]:
    """Return the notes of a history of 60 commits with a subject, of which some say that they fix something."""
    history = History()
    history.commit("start", {"a.py": module("1")}, day=0)
    for number in range(60):
        words = "Fix x" if number < fixes else "Show x"
        text = words if number >= 60 - others else subject.format(number=number + 1, words=words)
        history.commit(text, {"README": str(number)}, day=700 + number)
    history.commit("head", {"README": "x"}, day=1643)
    return measure_history(history, recipe=recipe).mined.notes


def test_many_keys_and_few_fix_words_are_noted_with_what_to_do() -> None:
    (note,) = notes_of("ABC-{number}: {words}", fixes=6)
    assert note.startswith("60 of 61 commits begin with an issue key such as ABC-123 and only 6 of them say")
    assert "recall is probably low" in note
    assert "fix_patterns" in note
    assert notes_of("[ABC-{number}] {words}", fixes=6)


def test_enough_fix_words_or_few_keys_are_not() -> None:
    assert notes_of("ABC-{number}: {words}", fixes=30) == ()
    assert notes_of("ABC-{number}: {words}", fixes=6, others=40) == ()
    assert notes_of("#{number}: {words}", fixes=6) == ()
    assert notes_of("ABC-{number}: {words}", fixes=6, recipe=MESSAGES_1) == ()


@each_row(
    ("message", "keyed"),
    [
        (b"ABC-123 x", True),
        (b"  [ABC-123] x", True),
        (b"(A1-12): x", True),
        (b"ABC-123", True),
        (b"abc-123 x", False),
        (b"x ABC-123", False),
        (b"CVE-2020-123 x", False),
        (b"UTF-8 x", False),
        (b"GH-12 x", False),
        (b"A-1 x", False),
        (b"", False),
    ],
)
def test_a_key_begins_the_subject(message: bytes, keyed: bool) -> None:
    assert begins_with_key(message) == keyed
