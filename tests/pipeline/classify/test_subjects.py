"""Subjects of commits that are no fixes, and of bugs that resemble them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.classify.subjects import non_fix_class
from tests.rows import each_row

CLASSES = {
    "typo": """
        fix typo
        Fixed a typo in the error message.
        fix: typo in README
        chore: fix typo (#12)
        Fix typos and grammar
        Fixed #12 -- Fixed misspelled option name
        fix spelling mistakes in comments
        Typo fix.
        fix grammatical errors
        Fix wording
        correct spelling errors in messages
    """,
    "documentation": """
        docs: fix the example
        doc: fix link
        docs(api)!: fix signature
        fix(docs): dead anchor
        [docs] fix sidebar
        DOC Fix the formula of the loss
        [MRG+1] DOC: fix example
        doc/articles: fix format
        fix docs
        Fix documentation (#12)
        Fixed broken links.
        fix README.md
        Fix changelog
        Fixed the docstring of parse()
        fix javadoc for Parser
        Fixed #7 -- Fixed an example in the docs.
        fix example in documentation
        fix an error in the first parser docs
        Fixed bug in docs/models.txt
        small documentation fix
        fix copyright headers
    """,
    "lint or formatting": """
        fix lint
        Fix linting errors (#12)
        fix eslint warnings in parser
        Fixed a flake8 error.
        fix remaining checkstyle violations
        fix clippy warnings with the new toolchain
        fix formatting
        Fix code style
        Fixed trailing whitespace
        Fix indentation in parser.py
        fix import order
        style: fix spacing
        chore(lint): fix rules
        STY fix blank lines
        flake8 fixes
        Formatting fix (#1045)
        Fix prettier
    """,
    "continuous integration": """
        ci: fix cache key
        ci(release): fix permissions
        fix(ci): use the right node version
        chore(workflows): fix trigger
        CI Fix wheel build
        fix ci
        Fix CI build (#12)
        try to fix travis
        Fix GitHub Actions
        fix release workflow
        Fix the Jenkinsfile
    """,
    "dependency bump": """
        fix(deps): update all non-major dependencies (#12)
        chore(deps): bump maximist from 3.2.5 to 3.2.6
        build(deps-dev): bump x from 1 to 2
        Bump lodash from 4.17.20 to 4.17.21
        fix: upgrade blunt from 1.29.3 to 1.32.5 (#12)
        Upgrade undici to 5.14.0 to fix redirect bug
        fix: update dependency semver to v7
        Update lockfile to fix install
        Update dependencies, fix build
    """,
    "test": """
        test: fix flaky timer
        tests(parser): fix name
        fix(test): wait for the server
        TST fix tolerance
    """,
}
BUGS = """
    fix crash when the document is empty
    fix formatting of negative durations
    format() fixes the sign of zero
    fix linter crash
    fix crash in the linter
    fix(lint): do not report shadowed globals
    fix(format): keep trailing comma
    fix(style): scoped selectors
    fix(workflow): resume after a restart
    fix indentation when pasting several lines
    fix whitespace handling in attributes
    fix style binding on svg elements
    fix: bump the stack size
    fix: update scroll position to match the caret
    fix: pin the toolbar to the bottom
    fix upgrade from version 1
    fix url encoding
    fix links in the toolbar
    fix license check
    Fix crash caused by a typo in the option name
    fix regression due to typo
    fix id generation in the admin docs page
    fix comments being dropped
    fix documentId lookup
    fix docker build
    fix build
    fix build on Windows
    fix flaky test
    fix circle drawing
    fix circular import
    fix action dispatch
    fix latest version lookup
    fix testing of nil
    fix(docx): page breaks
    fix(optimize-deps): keep the order
    fix(citation): missing comma
    circuit breaker fix
    fix: readme parser loses headings
    fix changelog generator
    fix docs generator crash
    fix crash in the new docs viewer
    Clean up
    add a feature
"""


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


@each_row(("subject", "reason"), [(subject, reason) for reason, text in CLASSES.items() for subject in lines(text)])
def test_a_subject_of_a_class_is_no_fix(subject: str, reason: str) -> None:
    assert non_fix_class(subject) == reason


@each_row("subject", lines(BUGS))
def test_a_bug_that_resembles_a_class_stays_a_fix(subject: str) -> None:
    assert non_fix_class(subject) is None


@each_row("lead", ["", "[2.x] ", ":memo: ", "📝 ", "✏️ "])
def test_tags_and_emoji_before_a_subject_hide_no_class(lead: str) -> None:
    assert non_fix_class(lead + "fix typo") == "typo"
    assert non_fix_class(lead + "docs: fix x") == "documentation"
    assert non_fix_class(lead + "fix x") is None


def test_the_end_of_a_long_subject_is_ignored() -> None:
    assert non_fix_class("Fixed crash in parser; " + "also did a thing, " * 10 + "fixed typo") is None


PIECES = st.sampled_from(
    [
        "fix",
        "docs",
        "in",
        "the",
        "a.",
        ")",
        "(#1)",
        "lint errors",
        "typo",
        ":",
        "bump",
        "to 1.2",
        "from",
        "[x]",
        "🐛",
        "ci",
        "",
    ]
)


@given(st.lists(PIECES, max_size=40).map(" ".join) | st.text(max_size=200))
def test_any_subject_has_a_known_class_or_none(subject: str) -> None:
    assert non_fix_class(subject) in (None, *CLASSES)


@each_row(
    "piece",
    [
        "fix ",
        "a ",
        "in .",
        "in a ",
        "fix docs in ",
        "[",
        "[x] ",
        "(#1) ",
        ":a: ",
        "bump a ",
        "x/",
        "é",
        ". ",
        "the the ",
    ],
)
def test_long_repetitive_subjects_take_little_time(piece: str) -> None:
    assert non_fix_class(piece * 2_000 + "!") in (None, *CLASSES)
    assert non_fix_class("fix docs " + piece * 2_000 + "!") in (None, *CLASSES)
    assert non_fix_class("bump a from " + piece * 2_000 + "!") in (None, *CLASSES)
