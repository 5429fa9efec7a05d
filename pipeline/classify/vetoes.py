"""Recognise words for a fix under which nobody saw a bug: "fix warnings", "style fixes". These are rules of version 2.

A veto is anchored: what was fixed must end its phrase ("fix comments in x"; not "fix comments being dropped"), only
harmless words may stand between it and the verb, and whatever else the subject claims stands ("Fix comment and crash").
It never counts against a conventional `fix:`, whose author named the kind of change.
"""

from __future__ import annotations

import re
from typing import Final

_VERB = (
    r"(?:fix(?:es|ed|ing)?(?: ?up)?|correct(?:s|ed|ing)?|resolv(?:e[sd]?|ing)|avoid(?:s|ed|ing)?|silenc\w+|suppress\w*)"
)
# Words between that make a bug of it: a place, a condition, a failure, or something that a user should have seen.
_BETWEEN = (
    r"(?:(?!(?:in|on|of|for|from|with|by|to|when|while|where|after|before|if|due|caused|during|crash\w*|bugs?|leak\w*"
    r"|error|missing|lost|wrong(?:ly)?|incorrect|false|bogus|spurious|duplicated?|using|display\w*|show\w*|handling|pars\w+"
    r"|render\w+)\b)\S{1,40}\s){0,4}?"
)
_LENIENT = _BETWEEN.replace("|missing", "").replace(r"|wrong(?:ly)?|incorrect", "")
_END = (
    r"(?=[\s.!)\]]*(?:$|\n)|[.,;:(]\s?|\s?[-\u2013\u2014]\s|\s(?:in|for|of|from|on|with|by|when|about|under|to|and|&|reported"
    r"|due|found|after|regarding|at|via|around|generated|emitted|again|using|\(|\[|#\d|\w{2,10}-\d)\W?)"
)
_CHECKER = (
    r"(?:coverity|sparse|smatch|checkpatch(?:\.pl)?|findbugs|find ?bugs|spotbugs|sonar\w*|lint\w*|pmd|cppcheck"
    r"|pvs-?studio|scrutinizer|codacy|code ?climate|shellcheck|checkstyle|clang-tidy|includecheck|checkincludes"
    r"|rubocop|phpstan|psalm|pylint|flake8|pep-?8|eslint|tslint|jshint|jslint|stylecop|resharper)"
)
_KINDS: Final = (
    (
        "typo",
        rf"\b{_VERB}\s{_BETWEEN}(?:typos?|typography|mis-?spell\w*|mis-?spelt|spell(?:ing)?|grammar|wording|phrasing)",
        r"\b(?:typo|spelling|grammar|wording)s?[ -]fix(?:es|ed)?",
    ),
    (
        "documentation",
        rf"\b{_VERB}\s{_LENIENT}(?:comments?|commenting|doc ?blocks?|docs?|documentation|doc ?strings?|\w{{1,4}}doc"
        r"|doxygen|annotations? in comments?|descriptions?|table of contents|licen[cs]e headers?|copyrights?|readme\S*"
        r"|change ?logs?)",
        r"\b(?:comments?|docs?|documentation|doc ?strings?|javadoc|doxygen|kernel-?doc|read ?me|changelog)[ -]"
        r"(?:fix(?:es|ed|ing)?|fixups?|corrections?)",
    ),
    (
        "lint or formatting",
        rf"\b{_VERB}\s{_BETWEEN}(?:warnings?|deprecations?|(?:\w+ )?complaints?|(?:coding|code|source)[ -]?"
        r"styl(?:es?|ing)|line (?:lengths?|endings?|widths?)|(?:long|overlong) lines?|\d{2,3}[ -]?col\w*"
        r"|nits?|cosmetics?|eols?|newlines? at end of files?"
        r"|trailing (?:spaces?|newlines?)|blank lines?)"
        r"(?:\s(?:issues?|problems?|errors?|violations?|warnings?|nits?|guidelines?))?",
        rf"\b{_VERB}\s{_BETWEEN}{_CHECKER}(?: \w{{1,20}})?(?:\s(?:issues?|problems?|errors?|violations?|warnings?"
        r"|defects?|reports?|complaints?|findings?|offen[sc]es?|nits?))",
        rf"\b(?:{_CHECKER}|warnings?|styl(?:e|ing|istic)|coding[ -]style|white ?space|indentation|format(?:t?ing)?"
        r"|cosmetic|nit|deprecation)s?[ -](?:fix(?:es|ed|ing)?|fixups?|corrections?)",
    ),
    (
        "naming",
        rf"\b{_VERB}\s{_BETWEEN}(?:naming(?: conventions?)?|(?:variable|function|method|class|parameter|argument|param"
        r"|arg|member|constant|macro|symbol|identifier|struct|enum|type|module|package|test|file)[ -]?names?)",
        r"\b(?:naming|names?)[ -]fix(?:es|ed)?",
    ),
)
_VETOES = tuple(
    (reason, re.compile(rf"(?:{'|'.join(patterns)}){_END}", re.IGNORECASE | re.ASCII)) for reason, *patterns in _KINDS
)
# Gitmoji whose meaning is a class that is never a fix: pencil, memo, rotating light, green heart, check mark.
_EMOJI = tuple(
    (reason, re.compile(rf"(?:\[[^\]]{{0,80}}\]|\s){{0,9}}(?:{signs})"))
    for reason, signs in (
        ("typo", "\u270f|:pencil2:"),
        ("documentation", "\U0001f4dd|:memo:|:pencil:"),
        ("lint or formatting", "\U0001f6a8|:rotating_light:"),
        ("continuous integration", "\U0001f49a|:green_heart:"),
        ("test", "\u2705|:white_check_mark:"),
    )
)
_CHARACTERS: Final = 240


def without_vetoed(text: str) -> str:
    """Return a text without the words for a fix that are vetoed."""
    for _, pattern in _VETOES:
        text = pattern.sub(" ", text)
    return text


def find_veto(subject: str) -> tuple[str, str] | None:
    """Return (class, the subject without the words that it explains) if a subject is vetoed, else None."""
    for reason, pattern in _EMOJI:
        if pattern.match(subject):
            return reason, ""
    near, found = subject[:_CHARACTERS], ""
    for reason, pattern in _VETOES:
        rest = pattern.sub(" ", near)
        if rest != near:
            near, found = rest, found or reason
    return (found, near) if found else None
