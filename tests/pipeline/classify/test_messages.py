"""Commit messages: evidence, exclusions by author and subject, and reverts."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.classify.messages import (
    MAX_REVERTED,
    SUBJECT_BYTES,
    SUBJECT_CHARACTERS,
    MessageFacts,
    might_be_fix,
    pull_number,
    read_message,
    subject_key,
)
from pipeline.label_recipe import MESSAGES
from pipeline.records import Evidence
from tests.rows import each_row

PERSON = b"Ada <ada@example.org>"
SHA = "12ab34cd" * 5
OTHER_SHA = "98fe76ba" * 5


def read(message: str | bytes, author: bytes = PERSON, encoding: bytes | None = None) -> MessageFacts:
    raw = message.encode() if isinstance(message, str) else message
    return read_message(raw, author, encoding, MESSAGES)


def kind(message: str | bytes) -> str | None:
    evidence = read(message).evidence
    return evidence.kind if evidence else None


PREFIXES = [
    "fix: x",
    "fix(scope): x",
    "fix!: x",
    "fix(scope)!: x",
    "Fix: x",
    "FIX(Scope): x",
    "fix(next/image): x",
    "fix():x",
    "bugfix: x",
    "hotfix(api): x",
    "🐛 fix: x",
    ":bug: fix(api): x",
    "[2.x] fix: x",
    "fixup! fix: x",
    "squash! fixup! fix(a): x",
    "amend! fix: x",
    "\n\n  fix: x",
    "fix: x",
]
KEYWORDS = [
    "Fix x",
    "x fix",
    "x fixes y",
    "Fixed #12 -- Made x work",
    "Fixes #12",
    "fixing x",
    "net/http: fix x",
    "bugfix for x",
    "Bug in x",
    "two bugs",
    "hotfixes",
    "a regression in x",
    "regressions from 2.0",
    "a defect",
    "defects",
    "chore: fix x",
    "refactor(a): fix x",
    "[FIX] x",
    "(fix) x",
    "bug-fix of x",
    "hot-fix x",
    "fix-123",
    "fix/foo",
    "fix/foo/bar: x",
    "#fix x",
    "x, fix.",
    "fix",
    "BUG: x",
    ":bug: x",
    "fixup! fix x",
    "修复bug",
    "fix问题",
    "fix : x",
    "fixed position of the caret",
    "a quick fix for x",
    "x is fixed",
]
NO_EVIDENCE = [
    "",
    "\n \n",
    "Add x",
    "prefix",
    "add prefixes",
    "dispatch x",
    "debug x",
    "debugger",
    "fixture",
    "Add fixtures",
    "affix x",
    "suffixed",
    "bugzilla",
    "ladybug",
    "Update bugsnag",
    "fixup! add x",
    "squash! x",
    "bug_report",
    "is_fixed x",
    "fix2",
    "x64fix",
    "fixé",
    "défix",
    "фиксbug",
    "pre-fix notation",
    "post-fix notation",
    "Run eslint --fix",
    "auto-fix on save",
    "autofix on save",
    "show quick fixes in the menu",
    "Add fix.go",
    "Add BUG.md template",
    "Add bug report form",
    "Prepare a bugfix release",
    "bug-tracker link",
    "use fixed-size arrays",
    "use a fixed seed",
    "set the fixed width",
    "cmd/fix: add a rewrite",
    "Add regression tests",
    "add non-regression test",
    "Add logistic regression",
    "ridge regression: faster solver",
    "feat: x\n\nfix: y",
    "Add x\n\nFixes #12",
    "feat: x (fixes #12)",
]


@each_row("message", PREFIXES)
def test_a_conventional_fix_prefix_is_prefix_evidence(message: str) -> None:
    assert read(message).evidence == Evidence("prefix", 0.7)


@each_row("message", KEYWORDS)
def test_a_word_bounded_keyword_in_the_subject_is_keyword_evidence(message: str) -> None:
    assert read(message).evidence == Evidence("keyword", 0.7)


@each_row("message", NO_EVIDENCE)
def test_lookalikes_of_keywords_are_no_evidence(message: str) -> None:
    assert kind(message) is None


def test_weights_come_from_the_recipe() -> None:
    recipe = dataclasses.replace(MESSAGES, weights=(("prefix", 0.9), ("keyword", 0.2)))
    assert read_message(b"fix: x", PERSON, None, recipe).evidence == Evidence("prefix", 0.9)
    assert read_message(b"fix x", PERSON, None, recipe).evidence == Evidence("keyword", 0.2)


@pytest.mark.parametrize("message", [b"fix: x", b"fix x", b"add x"])
def test_linked_evidence_is_stronger_than_the_message(message: bytes) -> None:
    label, issue = Evidence("label", 1.0), Evidence("issue", 1.0)
    assert read_message(message, PERSON, None, MESSAGES, [label]).evidence == label
    assert read_message(message, PERSON, None, MESSAGES, [label, issue]).evidence == issue
    assert read_message(message, PERSON, None, MESSAGES, [issue, label]).evidence == issue


@each_row("subject", ["fix typo", "docs: fix x", "fix lint", "ci: fix x", "fix(deps): update x"])
def test_an_excluded_class_keeps_its_evidence_for_the_report(subject: str) -> None:
    facts = read(subject)
    assert facts.evidence is not None
    assert facts.not_a_fix is not None
    assert read("fixup! " + subject).not_a_fix == facts.not_a_fix


@each_row(
    "author",
    [
        b"dependabot[bot] <49699333+dependabot[bot]@users.noreply.github.com>",
        b"renovate[bot] <29139614+renovate[bot]@users.noreply.github.com>",
        b"Renovate Bot <bot@renovateapp.com>",
        b"Greenkeeper <support@greenkeeper.io>",
        b"snyk-bot <snyk-bot@snyk.io>",
        b"github-actions <actions@github.com>",
        b"GitHub Actions <x@example.org>",
        b"pre-commit-ci[bot] <66853113+pre-commit-ci[bot]@users.noreply.github.com>",
        b"Acme Release Bot <release@example.org>",
        b"acme-bot <x@example.org>",
        b"Acme Bot <123+acmebot@users.noreply.github.com>",
        b"x <123+acme[bot]@users.noreply.github.com>",
    ],
)
def test_commits_of_bots_are_no_fixes(author: bytes) -> None:
    facts = read("fix: x", author)
    assert facts.not_a_fix == "bot"
    assert facts.evidence == Evidence("prefix", 0.7)


@each_row(
    "author",
    [
        b"",
        PERSON,
        b"Ann Cabot <ann@example.org>",
        b"Jan Bot <jan@example.org>",
        b"Bo <bo@talbot.example>",
        b"Thibaut SABOT <123+sabot@users.noreply.github.com>",
        b"Claude Paroz <c@example.org>",
        b"copilot-swe-agent[bot] <198982749+Copilot@users.noreply.github.com>",
        b"\xff\xfe <\xff>",
    ],
)
def test_people_and_coding_agents_are_no_bots(author: bytes) -> None:
    assert read("fix: x", author).not_a_fix is None


REVERTS: list[tuple[str, tuple[str, ...], str | None, tuple[int, ...]]] = [
    (f'Revert "fix: x"\n\nThis reverts commit {SHA}.', (SHA,), "fix: x", ()),
    (f'Revert "fix: x (#12)" (#34)\n\nThis reverts commit {SHA}.', (SHA,), "fix: x (#12)", (12,)),
    ('Revert "Revert "fix: x""', (), 'Revert "fix: x"', ()),
    ('Reapply "fix: x"', (), 'Revert "fix: x"', ()),
    ('Reapply "Reapply "x""', (), 'Revert "Reapply "x""', ()),
    ('Reland "x" (#3)', (), 'Revert "x"', ()),
    ('Reapply "fix: x (#12)" (#56)', (), 'Revert "fix: x (#12)"', ()),
    ('Revert "Revert "fix: x (#12)"" (#56)', (), 'Revert "fix: x (#12)"', ()),
    ('Revert "Revert "x (#12)" (#34)" (#56)', (), 'Revert "x (#12)" (#34)', (34,)),
    ('Revert "fix: revert #12"', (), "fix: revert #12", ()),
    ("Reapply #12", (), None, (12,)),
    ("Revert !12", (), None, (12,)),
    ("Revert MR !12 and !13", (), None, (12, 13)),
    ('Revert "x"\n\nThis reverts merge request acme/app!12', (), "x", (12,)),
    ('Revert "Merge pull request #12 from acme/x"', (), "Merge pull request #12 from acme/x", (12,)),
    ('Revert "Merged in x (pull request #12)"', (), "Merged in x (pull request #12)", (12,)),
    ("Remove x\n\nReverts #12.", (), None, (12,)),
    ("Remove x\n\nReverts https://git.example.org/acme/app-2/pull/12", (), None, (12,)),
    ("Reland !12", (), None, (12,)),
    ("Unrevert #12", (), None, (12,)),
    ("Revert “x”", (), "x", ()),
    (
        f"Revert x\n\nThis reverts commits {SHA[:7]}, {OTHER_SHA[:12]}\nand {OTHER_SHA}.",
        (SHA[:7], OTHER_SHA[:12], OTHER_SHA),
        None,
        (),
    ),
    ("revert: feat: x (#12)", (), "feat: x (#12)", (12,)),
    ("revert(api): x", (), "x", ()),
    ('fix: revert "feat: x"', (), "feat: x", ()),
    ('fix: revert, "fix: x (#12)" (#34)', (), "fix: x (#12)", (12,)),
    ("fix: revert #5601 #6025, keep x (#6680)", (), None, (5601, 6025)),
    ("fix(api): revert PR #12 and #13", (), None, (12, 13)),
    ("chore: revert acme/web#12 (#13)", (), None, (12,)),
    ('Revert "x"\n\nReverts acme/web#12', (), "x", (12,)),
    ('net/http: revert "fix x"', (), "net/http: fix x", ()),
    ('net/http: revert "net/http: fix x"', (), "net/http: fix x", ()),
    (f"net/http: revert {SHA[:12]}", (SHA[:12],), None, ()),
    (f"Revert x\n\nThis reverts CL 123 (commit {SHA[:18]}).", (SHA[:18],), None, ()),
    ('Fixed #2 -- Reverted "Fixed #1 -- Made x work."', (), "Fixed #1 -- Made x work.", ()),
    ("Reverted [4590], because it broke x. Fixes #3", (), None, ()),
    ("Revert to version 2", (), None, ()),
    ("Rolled back [4693]", (), None, ()),
    ("Back out commit 1", (), None, ()),
    ("runtime: undo CL 123", (), None, ()),
    (f"[2.x] Revert x\n\nReverts commit {SHA.upper()}", (SHA,), None, ()),
    (f"Merge again\n\nThis reverts commit {SHA}, reversing\nchanges made to {OTHER_SHA}.", (SHA,), None, ()),
    (f"fixup! Revert x\n\nThis commit reverts {SHA}", (SHA,), None, ()),
]


@each_row(("message", "shas", "subject", "pulls"), REVERTS)
def test_a_revert_is_no_fix_and_names_its_target(
    message: str, shas: tuple[str, ...], subject: str | None, pulls: tuple[int, ...]
) -> None:
    facts = read(message)
    assert facts.not_a_fix == "revert"
    assert (facts.reverts, facts.reverts_subject, facts.reverts_pulls) == (shas, subject, pulls)
    assert might_be_fix(message.encode())


@each_row(
    "message",
    [
        "Fixed #1 -- Reverted the default of x to True",
        "fix: revert focus when the dialog closes",
        "fix: reverted state after undo",
        "Fix revert of a merge",
        "Add a revert button",
        "Undo-stack: fix overflow",
        "undo: fix overflow",
        "Undo the last edit, fixes #1",
        "Roll back the transaction where a query fails (fixes #1)",
        "Reapply styles, fixes #1",
        "rollback: fix deadlock",
        f'fix: x (#12)\n\n* fix: x\n\n* Revert "y"\n\nThis reverts commit {SHA}.\n\n* z',
        f"fix: x\n\nThis partially reverts commit {SHA}.",
        f"fix: x\n\nBroken since the change that reverts commit {SHA}.",
    ],
)
def test_a_mention_of_reverting_is_no_revert(message: str) -> None:
    facts = read(message)
    assert facts.not_a_fix is None
    assert (facts.reverts, facts.reverts_subject, facts.reverts_pulls) == ((), None, ())


def test_a_fix_that_reverts_in_its_body_is_a_fix_and_a_revert() -> None:
    facts = read(f"Fixed #2 -- Fixed crash in x\n\nThis reverts commit {SHA}.\n")
    assert facts.not_a_fix is None
    assert facts.evidence == Evidence("keyword", 0.7)
    assert facts.reverts == (SHA,)


def test_a_fix_prefix_over_a_plain_revert_is_a_revert_if_the_body_agrees() -> None:
    assert read("fix: revert x").not_a_fix is None
    assert read(f"fix: revert x\n\nThis reverts commit {SHA}.").not_a_fix == "revert"


def test_the_number_of_reverted_commits_is_limited() -> None:
    shas = [f"{number:040x}" for number in range(1_000)]
    facts = read("Revert all\n\nThis reverts commits " + ", ".join(shas))
    assert facts.reverts == tuple(shas[:MAX_REVERTED])


@each_row(
    ("subject", "key", "pull"),
    [
        ("fix: x", "fix: x", None),
        ("fix: x (#12)", "fix: x", 12),
        ("fix: x (#12) (#34)", "fix: x", 34),
        ("fix: x (acme/web#12)", "fix: x", None),
        ("fix #12", "fix #12", None),
        ("(#12)", "(#12)", 12),
        ("", "", None),
    ],
)
def test_a_subject_is_compared_without_its_pull_requests(subject: str, key: str, pull: int | None) -> None:
    assert subject_key(subject) == key
    assert pull_number(subject) == pull


@each_row(
    ("message", "encoding", "subject"),
    [
        (b"Fix x\nbody", None, "Fix x"),
        (b"\n  Fix x  \r\nbody", None, "Fix x"),
        (b"Fix\tx\x00y\x1b[31m", None, "Fix\\tx\\x00y\\x1b[31m"),
        ("Fix é".encode(), None, "Fix é"),
        ("Fix é".encode("latin-1"), None, "Fix é"),
        ("Fix é".encode("latin-1"), b"ISO-8859-1", "Fix é"),
        ("Fix 修".encode("gbk"), b"GBK", "Fix 修"),
        ("Fix é".encode(), b"zlib_codec", "Fix é"),
        ("Fix é".encode(), b"utf-16", "Fix é"),
        ("Fix é".encode(), b"\xff\x00", "Fix é"),
        ("Fix é".encode(), b"iso-8859-99", "Fix é"),
        ("Fix \u202ex".encode(), None, "Fix \\u202ex"),
        (b"x" * 300, None, "x" * (SUBJECT_CHARACTERS - 1) + "…"),
        (b"", None, ""),
    ],
)
def test_a_subject_is_one_printable_line(message: bytes, encoding: bytes | None, subject: str) -> None:
    assert read(message, encoding=encoding).subject == subject


def test_a_character_cut_in_half_by_the_limit_is_dropped() -> None:
    for shift in range(3):
        facts = read("Fix é ".encode() + b"x" * shift + "é".encode() * SUBJECT_BYTES)
        assert facts.subject.startswith("Fix é ")


def test_evidence_is_found_beyond_the_displayed_part_of_the_subject() -> None:
    facts = read("x" * 500 + " fix")
    assert facts.evidence == Evidence("keyword", 0.7)
    assert len(facts.subject) == SUBJECT_CHARACTERS


HOSTILE = [
    b"",
    b"\x00" * 1_000_000,
    b"\xff" * 1_000_000,
    b"\n" * 1_000_000,
    b" " * 1_000_000 + b"fix",
    b"fix: " * 500_000,
    b"[" * 1_000_000,
    b"(" * 1_000_000,
    b"fix(" * 1_000_000,
    b"a/" * 1_000_000 + b": fix",
    b"fixup! " * 500_000 + b"x",
    "🐛 ".encode() * 300_000 + b"fix",
    b'Revert "' * 500_000,
    b"Revert x\n\n" + b"This reverts commit" + b" " * 1_000_000,
    b"Revert x\n\n" + b"This reverts commit " * 200_000,
    b"Revert x\n\nThis reverts commits " + b"1234567 " * 200_000,
    b"Revert x\n\nThis reverts commits " + b"1" * 1_000_000,
    b"Revert #1" + b" #1" * 500_000,
    b"Refs #1" + b", #1" * 500_000,
    b"cmd/a" + b"," * 1_000_000,
]


@each_row("message", HOSTILE)
def test_hostile_messages_are_read(message: bytes) -> None:
    facts = read(message, author=message[:100_000])
    assert len(facts.subject) <= SUBJECT_CHARACTERS
    assert facts.subject.isprintable()


WORDS = st.sampled_from(
    [
        *(
            b"fix",
            b"Fixes",
            b"bug",
            b"BUG",
            b"regression",
            b"defect",
            b"revert",
            b"Reapply",
            b"Reland",
            b"roll back",
            b"undo",
        ),
        *(
            b": ",
            b" ",
            b"-",
            b"/",
            b"_",
            b"#12",
            b'"',
            b"\n",
            b"\n\n",
            b"\r\n",
            b"This Reverts commit ",
            b"1234567",
            b"(",
        ),
        *(
            b"crash",
            b"Missing",
            b"handle ",
            b"NPE in x",
            b"out of bounds",
            b"corrige",
            b"does not ",
            b"Merge pull request #12 from a",
            b"Fixes: 12ab34cd56ef",
            b":ambulance:",
        ),
        *(
            b"\xc3\xa9",
            b"\xe4\xbf\xae",
            b"\xff",
            b"\xaf",
            b"\x00",
            b"\xc5\xbf",
            b"\xe2\x84\xaa",
            b"ix",
            b"ug",
            b"efect",
            b")",
        ),
    ]
)
MESSAGES_OF_WORDS = st.lists(WORDS, max_size=30).map(b"".join)
ENCODINGS = st.sampled_from([None, b"utf-8", b"ISO-8859-1", b"GBK", b"Shift_JIS", b"utf-16", b"utf-7", b"hz", b"nope"])


@settings(max_examples=400)
@given(MESSAGES_OF_WORDS | st.binary(max_size=200), ENCODINGS)
def test_the_cheap_filter_accepts_all_evidence_and_reverts(message: bytes, encoding: bytes | None) -> None:
    facts = read(message, encoding=encoding)
    if facts.evidence or facts.not_a_fix == "revert" or facts.reverts or facts.reverts_pulls:
        assert might_be_fix(message)


@each_row("message", [*PREFIXES, *KEYWORDS])
def test_the_cheap_filter_accepts_every_kind_of_evidence(message: str) -> None:
    assert might_be_fix(message.encode())
    assert might_be_fix(message.upper().encode())


@each_row("message", [b"", b"Add x", b"docs: x\n\nlong text", b"Show y\n\n\xff\x00 crash"])
def test_the_cheap_filter_rejects_messages_without_either(message: bytes) -> None:
    assert not might_be_fix(message)


@each_row("message", ["Merge branch 'x'", "Handle errors of x", "\U0001f691 x", "修复 x"])
def test_the_cheap_filter_of_each_version_knows_the_words_of_that_version(message: str) -> None:
    assert might_be_fix(message.encode())
    assert might_be_fix(message.encode(), version=1) is False


@given(st.binary(max_size=300), st.binary(max_size=60), ENCODINGS)
def test_the_facts_of_any_message_are_printable(message: bytes, author: bytes, encoding: bytes | None) -> None:
    facts = read_message(message, author, encoding, MESSAGES)
    assert len(facts.subject) <= SUBJECT_CHARACTERS
    assert facts.subject.isprintable()
    assert all(7 <= len(sha) <= 40 for sha in facts.reverts)
    assert facts == read_message(message, author, encoding, MESSAGES)


@given(
    st.sampled_from(["fix", "bug", "hotfix", "regressions"]), st.characters(), st.characters(exclude_characters="sS")
)
def test_a_letter_next_to_a_keyword_makes_it_another_word(word: str, before: str, after: str) -> None:
    alphabetic = [c for c in (before, after) if c.isalnum() and c < "\u2e80"]
    if alphabetic:
        assert kind(f"{before}{word}{after}".encode("utf-8", "replace")) is None
