"""Claims to fix a bug, and what looks like one: the rules of version 2."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.classify.claims import fix_claim
from pipeline.classify.foreign_words import FIX_WORDS, has_foreign_word
from pipeline.classify.messages import MessageFacts, might_be_fix, read_message
from pipeline.label_recipe import MESSAGES, MESSAGES_1
from tests.rows import each_row

PERSON = b"Ada <ada@example.org>"
SHA = "12ab34cd" * 5


def read(message: str) -> MessageFacts:
    return read_message(message.encode(), PERSON, None, MESSAGES)


def counts(message: str) -> bool:
    """Return whether a commit with that message counts as a fix."""
    facts = read(message)
    return facts.evidence is not None and facts.not_a_fix is None


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


NUMBERS = """
    Bug 1421273 - Add an end marker to loaded lines, r=ada
    bug 12: Show the marker
    Bug #12: Show x
    Bug-12 Show x
    [Bug 1234] Rename x
    BUG-123: Show x
    Bug: 1234 show x
    Bug ABC-12: Show x
    Bugs 12, 13 and 14 - Show x
    bug 1234 (part 2) - Support x
    Show x (bug 12)
    defect 12: Show x
    Bug 1234
"""
DENIALS = """
    No bug - Show an end marker
    NOBUG: Show x
    no-bug: show x
    (no bug) Show x
    [nobug] Show x
    Not a bug: clarify x
    Not a fix, but shows x
    Show x, which fixes no bug
    Not really a fix for x
    Won't fix x
    This does not fix x
    bug-free x
"""


@each_row("message", lines(NUMBERS))
def test_the_number_of_a_tracker_claims_nothing(message: str) -> None:
    assert not counts(message)


@each_row("message", lines(DENIALS))
def test_a_denied_fix_claims_nothing(message: str) -> None:
    assert not counts(message)


@each_row(
    "message",
    [
        "Bug 1421301 - Fix crash when c is empty, r=ada",
        "Bug 12: x crashes on empty files",
        "No bug - Fix crash of x",
        "Fix bug 12",
        "Bug in x",
        "two bugs",
        "BUG: 1D arrays crash",
        "BUG: 2 arrays are equal",
    ],
)
def test_a_claim_beside_a_number_or_a_denial_stands(message: str) -> None:
    assert counts(message)


@each_row(
    "sign", ["🐛", "🐞", "🪲", "🚑", "🚑️", "🩹", "🔒️", ":bug:", ":beetle:", ":lady_beetle:", ":ambulance:", ":lock:"]
)
def test_an_emoji_for_a_bug_counts_as_a_character_and_by_its_name(sign: str) -> None:
    facts = read(f"{sign} handle empty files")
    assert facts.evidence == read(":bug: handle empty files").evidence
    assert facts.evidence is not None
    for lead in ("[api] ", "api: ", "feat(api): ", "("):
        assert counts(f"{lead}{sign} x")


@each_row(
    ("sign", "reason"),
    [
        ("✏️", "typo"),
        (":pencil2:", "typo"),
        ("📝", "documentation"),
        ("🚨", "lint or formatting"),
        (":rotating_light:", "lint or formatting"),
        ("💚", "continuous integration"),
        ("✅", "test"),
    ],
)
def test_an_emoji_for_something_else_says_why_it_is_no_fix(sign: str, reason: str) -> None:
    assert read(f"{sign} fix x").not_a_fix == reason
    assert read(f"{sign} fix: x").not_a_fix is None


TRAILERS = [
    'Fixes: 12ab34cd56ef ("Start")',
    "Fixes: 12ab34c",
    f"Fixes: {SHA}",
    f"fixes: commit {SHA}",
    "Fixes:12ab34cd56ef",
    'Fixes: 1234567 ("Start")',
    f"Fixes: https://git.example.org/acme/app/commit/{SHA}",
]


@each_row("trailer", TRAILERS)
def test_a_trailer_that_names_the_faulty_commit_is_a_claim(trailer: str) -> None:
    facts = read(f"load: return a list for empty files\n\nThe caller oopses.\n{trailer}\nCc: stable@example.org")
    assert facts.evidence is not None
    assert facts.evidence.kind == "prefix"


@each_row(
    "body",
    [
        "Fixes #12",
        "Fixes: #12",
        "fixes acme/app#12, #13",
        "Fixes: 1234567",
        "Fixes ABC-12",
        "Fixes: https://git.example.org/acme/app/issues/12",
        "Bug: 12",
        "CRs-Fixed: 341400",
        "Closes #12",
        "> fix the x",
        "* fix a\n* fix b",
        "- a\n- fix b",
        "This is not a bug.",
        "There is a bug in another library.",
        "It was fixed by another commit.",
        "The build failed.",
        "Fix typo in a comment.",
        "Reported-by: Bug Hunter <x@example.org>",
    ],
)
def test_a_closed_reference_or_a_list_in_the_body_claims_nothing(body: str) -> None:
    assert not counts(f"Show x\n\n{body}")


@each_row("body", ["This fixes a crash of y.", "Y was wrong.\n\nCloses #12", "Fix it by another x.\n\nFixes #12"])
def test_a_word_of_the_body_counts_unless_the_subject_adds_or_reshapes(body: str) -> None:
    assert counts(f"Show x\n\n{body}")
    for subject in (
        "Add x",
        "feat: x",
        "Refactor x",
        "ABC-12: Implement x",
        "net/http: add x",
        "Clean up x",
        "Remove x",
    ):
        assert not counts(f"{subject}\n\n{body}")


STRONG = """
    Handle errors of the loader
    Avoid NullPointerException in x
    Ensure x survives errors
    NPE in the loader
    ABC-12: NPE when x is empty
    Crash on empty files
    Memory leak in x
    Race condition in x
    Deadlock between x and y
    Wrong length of files
    Incorrect offset
    x fails on Windows
    Do not lose lines: x is broken
    Add missing null check
    ABC-12 x does not close its files
    Out-of-bounds read in x
    Use after free in x
    Correct the offset of x
    Prevent x from closing
    IllegalStateException when x is closed
    CVE-2020-12345: limit x
    Off-by-one in x
"""


@each_row("message", lines(STRONG))
def test_words_for_what_was_wrong_are_claims(message: str) -> None:
    assert counts(message)
    assert might_be_fix(message.encode())
    assert might_be_fix(message.upper().encode()) or message.upper() != message


@each_row(
    "message",
    [
        "Add handling of errors",
        "feat: handle missing files",
        "Implement x that does not fail",
        "ABC-12: Add support for wrong x",
        "Refactor broken x",
        "Add missing docs",
        "Add missing license headers",
        "Remove bogus check of x",
        "Improve error messages",
        "Update missing x",
    ],
)
def test_words_for_what_was_wrong_claim_nothing_where_the_subject_adds_or_reshapes(message: str) -> None:
    assert not counts(message)


OTHER_LANGUAGES = {
    "Chinese": ["修复空文件崩溃", "修正了长度", "解决空文件崩溃的问题"],
    "Japanese": ["空ファイルのクラッシュを修正", "不具合対応"],
    "Korean": ["버그 수정", "빈 파일 오류 수정"],
    "Russian": ["Исправлена ошибка при пустых файлах", "исправил падение", "пофиксил загрузку"],
    "German": ["Behebt Absturz bei leeren Dateien", "Absturz behoben", "Länge korrigiert", "Repariere den Absturz"],
    "French": ["Corrige le plantage sur fichier vide", "Résout un plantage", "Correction du plantage"],
    "Spanish": ["Corrige el cierre", "Arregla la longitud", "Solucionado el cierre"],
    "Portuguese": ["Corrigido o travamento", "Correção do tamanho", "Conserta o tamanho"],
    "Italian": ["Corretto il crash", "Risolto un errore", "Correzione della lunghezza"],
    "Polish": ["Naprawiono odczyt", "Poprawiono błąd odczytu"],
}


@each_row(("language", "subjects"), list(OTHER_LANGUAGES.items()))
def test_fix_words_of_ten_languages_are_claims(language: str, subjects: list[str]) -> None:
    assert language in FIX_WORDS
    for subject in subjects:
        assert counts(subject), subject
        assert might_be_fix(subject.encode())
        assert read_message(subject.encode(), PERSON, None, MESSAGES_1).evidence is None


@each_row(
    "subject",
    ["修复文档", "修改长度", "Corrige typo", "Исправлены опечатки", "Gamma correction", "фиксированный размер"],
)
def test_what_precision_would_pay_for_is_left_out(subject: str) -> None:
    assert not has_foreign_word(subject)


VETOED = {
    "documentation": ["Fix comment", "Fix comments in parser", "fix missing documentation of x", "Doc fix."],
    "lint or formatting": ["Fix compiler warnings", "fix unused variable warning in foo()", "Fix coding style of x",
                           "x: fix checkpatch issues", "style fixes; remove x", "fix some deprecated warnings"],
    "naming": ["Fix variable names", "Fix method name in x", "naming fixes"],
    "typo": ["Fix spelling", "Fix small typos in x", "typo fix"],
}  # fmt: skip


@each_row(("reason", "subjects"), list(VETOED.items()))
def test_to_fix_what_nobody_saw_is_no_fix(reason: str, subjects: list[str]) -> None:
    for subject in subjects:
        assert read(subject).not_a_fix == reason, subject
        assert read(subject).evidence is not None or subject == "Doc fix."


@each_row(
    "subject",
    [
        "fix: warnings",
        "fix(parser): comments in strings",
        "Fix comments being dropped",
        "Fix crash on a missing comment",
        "Fix comment and crash in x",
        "Fix missing warning",
        "Fix warning message when x is empty",
        "Fix style of buttons",
        "Fix indentation of nested calls",
        "Fix compiler error",
        "Fix file lookup by name",
        "Fix links",
    ],
)
def test_a_veto_is_anchored_and_never_against_a_prefix(subject: str) -> None:
    assert counts(subject)


def test_the_title_of_a_merged_pull_request_speaks_for_the_merge() -> None:
    assert counts("Merge pull request #12 from ada/x\n\nFix crash of x")
    assert not counts("Merge pull request #12 from ada/fix-x\n\nAdd x")
    assert not counts("Merge pull request #12 from ada/fix-x\n\nFix typo")


@each_row("message", ["No bug - Show x", "Bug 12 - Add x", "Fix comment in x", "Add x (fixes #12)"])
def test_version_1_still_takes_them_for_fixes(message: str) -> None:
    facts = read_message(message.encode(), PERSON, None, MESSAGES_1)
    assert facts.evidence is not None
    assert facts.not_a_fix is None


@each_row("message", ["NPE in x", "🐛 x", f"x\n\nFixes: {SHA}", "x\n\nfixes a crash", "修复x"])
def test_version_1_still_finds_nothing_in_them(message: str) -> None:
    assert read_message(message.encode(), PERSON, None, MESSAGES_1).evidence is None


PIECES = st.sampled_from(
    ["fix", "comment", "in", ":", "warnings", "bug", "12", "no", "not", "a", "crash", "[x]", "ABC-12", "missing",
     "docs", "handle", "error", "修复", "🐛", "-", "(", "#1", "Merge branch 'x'", "does not", "failures", "correctly"]
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=30).map(" ".join), st.lists(PIECES, max_size=30).map("\n".join))
def test_a_claim_is_never_missed_by_the_cheap_filter(subject: str, body: str) -> None:
    message = f"{subject}\n\n{body}"
    if read(message).evidence:
        assert might_be_fix(message.encode())


@each_row(
    "piece",
    ["fix ", "fix a ", "bug 1, ", "a: ", "ABC-1 ", "no ", "\n", "handle x ", "fixes #1, ", "x-", "(", "[", "Fixes: "],
)
def test_long_repetitive_messages_take_little_time(piece: str) -> None:
    assert fix_claim(piece * 500, piece * 20_000) in (None, "prefix", "keyword")
    assert fix_claim("x", piece * 20_000 + "!") in (None, "prefix", "keyword")


@pytest.mark.parametrize(
    "message", ['Revert "fix: x"\n\nIt fixes nothing.', "Remove x\n\nThis reverts commit 12ab34c.\n\nIt fixes y."]
)
def test_a_revert_claims_nothing_in_its_body(message: str) -> None:
    assert read(message).not_a_fix == "revert"
