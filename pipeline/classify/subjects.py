"""Recognise subjects of commits that are no fixes: typos, docs, lint, formatting, CI, tests, dependency bumps.

Commits that change only comments, tests or documents are recognised by their diff (docs/development/design.md, "Fix
commit"), so these patterns need to match only subjects whose commits touch source as well, and losing a true fix costs
more than missing one of these. They are anchored to what the subject repairs: "fix formatting" is a class, "fix
formatting of negative durations" is a bug; "fix lint errors" is a class, "fix linter crash" is a bug. "fix build" and
"fix test" are no classes: a broken build is broken source, and test-only commits are recognised by their paths.
"""

from __future__ import annotations

import re

# Long subjects list several things, and the last ones are not what the commit is about.
REPAIR_CHARACTERS = 160

_CONVENTIONAL = r"(?:\w{1,20}(?:\([^()]{0,80}\))?!?: )?"
# Under `fix(...)` these scopes may name the product: a linter, a formatter, a workflow engine.
_CHORE = r"(?:chore|build|ci|docs|refactor|misc|test)"
_VERB = r"(?:fix(?:es|ed|ing)?(?: up)?|correct(?:s|ed|ing)?|repair(?:s|ed)?|address(?:es|ed)?|resolve[sd]?)"
_ADJECTIVES = (
    r"(?:(?:a|an|the|some|any|all|few|more|various|remaining|minor|small|tiny|broken|wrong|bad|invalid|new|another"
    r"|couple|of|my|our|last|possible|incorrect) ){0,5}"
)
# The end of the subject, except for punctuation, issue numbers and the name of one place.
_END = (
    r"(?=[\s.!]*+(?:(?:\(|for |see |closes? |fix(?:es)? )?(?:gh-|#)\d++\)?[\s.]*+|in [\w./*-]++(?:\(\))?[\s.]*+){0,4}$)"
)
_COMPLAINT = r"(?:errors?|warnings?|issues?|problems?|violations?|failures?|complaints?|nits?|findings?|offen[sc]es?)"
_LINTER = (
    r"(?:(?:es|ts|js|css|style|py|go|golangci[- ]?|md|markdown|ox)?[- ]?lint(?:er|ing|ers)?|flake8|pylint|pycodestyle"
    r"|pep-?8|pep-?257|isort|checkstyle|spotless|spotbugs|pmd|rubocop|prettier|gofmt|go ?vet|staticcheck|clippy|rustfmt"
    r"|black|ruff|clang-format|clang-tidy|ktlint|detekt|phpcs|phpstan|psalm|mypy|pyright|sonar|biome)"
)
_FORMATTING = (
    r"(?:(?:code|coding|source|file|import) )?(?:format(?:t?ing)?|style|indent(?:ation|ing)?"
    r"|(?:trailing )?white ?spaces?|line endings?|import order(?:ing)?|spacing)"
)
_CI = (
    r"(?:ci|ci/cd|travis(?:[- ]?ci)?|appveyor|circle[- ]?ci|azure pipelines?|jenkins(?:file)?|(?:github|gh) actions?"
    r"|gitlab[- ]?ci|codecov|(?:ci|release|publish|deploy|test|build|docs|lint|github|actions) workflows?"
    r"|workflow files?|cirrus(?:[- ]?ci)?)(?: (?:build|config(?:uration)?|setup|script|job|error|failure|badge|run)s?)?"
)
_DOCUMENT = (
    r"(?:docs?|documentations?|docstrings?|doc strings?|doc comments?|(?:java|k|js|ts|go)-?docs?|readmes?(?:\.\w+)?"
    r"|change ?logs?(?:\.\w+)?|release notes|contributing(?:\.md)?)"
)
_PLACE_IN_DOCS = (
    r"(?:docs?|documentation|docstrings?|javadocs?|readme(?:\.md|\.rst)?|change ?log|release notes)\b"
    r"(?![/-]| ?(?:page|view(?:er)?|app|command|generator|index|builder|parser|server|site))"
)
_VERSION = r"v?\d+(?:\.[\dx]+)+\b"

# Openings of subjects: conventional types and scopes, tags in capitals as in numpy, paths as in Go.
_OPENINGS = (
    (
        "dependency bump",
        r"\w{1,20}\((?:dev-)?dep(?:s|endenc(?:y|ies))(?:-dev)?\)!?: |(?:deps|dependencies): ",
        _CONVENTIONAL + r"(?:bump|upgrade|update|pin|downgrade)(?:s|d|ed)? (?:[@\w./-]{1,80} ){1,6}?"
        rf"(?:from \S{{1,60}} )?to {_VERSION}",
        _CONVENTIONAL + r"(?:bump|upgrade|update|pin)(?:s|d|ed)? (?:[\w/-]{1,80} ){0,4}"
        r"(?:deps|dependenc(?:y|ies)|lock ?files?)\b",
    ),
    (
        "documentation",
        r"docs?(?:\([^()]{0,80}\))?!?: |\w{1,20}\((?:docs?|documentation|readme|website|changelog)\)!?: |\[docs?\] ?",
        r"(?-i:DOCS?)[: ]|docs?/[\w./*-]{1,120}: ",
    ),
    (
        "lint or formatting",
        rf"(?:style|lint|format)(?:\([^()]{{0,80}}\))?!?: |{_CHORE}\((?:e?s?lint|format(?:ting)?|style)\)!?: ",
        r"(?-i:STY|STYLE|COSMIT|PEP8)[: ]",
    ),
    (
        "continuous integration",
        rf"ci(?:\([^()]{{0,80}}\))?!?: |\w{{1,20}}\(ci\)!?: |{_CHORE}\((?:github-actions|workflows?|actions)\)!?: "
        r"|\[ci\] ?|(?-i:CI|TRAVIS) ",
    ),
    ("test", r"tests?(?:\([^()]{0,80}\))?!?: |\w{1,20}\(tests?\)!?: |(?-i:TST|TEST)[: ]"),
)
# What a subject repairs, anywhere in its first characters.
_REPAIRS = (
    (
        "typo",
        r"(?<!due to )(?<!due to a )(?<!caused by )(?<!caused by a )(?<!because of )(?<!because of a )\b(?:typos?"
        r"|mis-?spell\w*|mis-?spelt|misprints?|spelling(?: mistakes?| errors?)?|grammatical"
        r"|grammar (?:mistakes?|errors?|issues?)|wording)\b",
    ),
    (
        "documentation",
        rf"\b{_VERB} {_ADJECTIVES}(?:{_DOCUMENT}|(?:broken|dead|doc) (?:url|link)s?|licen[cs]e headers?|copyright"
        rf"(?: years?| headers?)?){_END}",
        rf"\b{_VERB} {_ADJECTIVES}{_DOCUMENT} (?:for|of|on|in|about|to|and)\b",
        rf"\b(?:{_DOCUMENT}|rest|rst) fix(?:es)?\b",
        rf"\bin (?:the )?(?:[\w.]{{1,80}} ){{0,2}}{_PLACE_IN_DOCS}|\bin docs?/\S",
    ),
    (
        "lint or formatting",
        rf"\b{_VERB} {_ADJECTIVES}{_LINTER} {_COMPLAINT}\b|\b{_VERB} {_ADJECTIVES}(?:{_LINTER}|{_FORMATTING}){_END}",
        rf"\b(?:{_LINTER}|{_FORMATTING})[ :-]fix(?:es)?{_END}",
    ),
    ("continuous integration", rf"\b{_VERB} {_ADJECTIVES}{_CI}{_END}", rf"\b{_CI} fix(?:es)?{_END}"),
)
_LEAD = re.compile(r"(?:\[[^\]]{0,80}\](?=\s)|:[a-z_]{1,40}:|[^\x00-\x7f\w\s]|\s)*+")


def _compiled(classes: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple(
        (reason, re.compile("|".join(alternatives), re.IGNORECASE | re.ASCII)) for reason, *alternatives in classes
    )


_OPENS = _compiled(_OPENINGS)
_REPAIRED = _compiled(_REPAIRS)


def non_fix_class(subject: str) -> str | None:
    """Return the class of a subject (decoded, not cut) that is no fix, else None.

    The classes: "dependency bump", "documentation", "lint or formatting", "continuous integration", "test", "typo".
    """
    for reason, pattern in _OPENS:
        if pattern.match(subject):
            return reason
    lead = _LEAD.match(subject)
    text = subject[lead.end() :] if lead else subject
    for reason, pattern in _OPENS:
        if pattern.match(text):
            return reason
    near = text[:REPAIR_CHARACTERS]
    return next((reason for reason, pattern in _REPAIRED if pattern.search(near)), None)
