"""The shared Jinja environment, which makes all output inert and escapes it, whether or not a template does."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from pipeline.reports import numbers
from pipeline.reports.escape import inert

EVIDENCE_WORDS = {
    "issue": "bug issue",
    "label": "bug label",
    "prefix": "fix: prefix",
    "keyword": "keyword in the subject",
}


@cache
def environment() -> Environment:
    """Return the environment for the templates of this package, with the formats of `numbers` as filters."""
    created = Environment(
        loader=PackageLoader("pipeline.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    formats = ("iso", "day", "density", "count", "counted", "share", "span", "size_mb", "short")
    created.filters.update({name: getattr(numbers, name) for name in formats})
    created.filters.update(
        inert=inert,
        percent=_percent,
        anchor=_anchor,
        sentence=_sentence,
        function_name=_function_name,
        evidence_words=lambda kind: EVIDENCE_WORDS.get(kind, kind),
        part_number=_part_number,
    )
    return created


def _finalize(value: object) -> object:
    """Make plain text inert before it is escaped; markup from macros has been through here already."""
    return inert(value, max_length=2_000) if type(value) is str else value


def _percent(position: float) -> str:
    return f"{100 * position:.2f}%"


def _anchor(position: float) -> str:
    """Return the text anchor that keeps a label inside the plot."""
    return "start" if position < 0.2 else "end" if position > 0.8 else "middle"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _function_name(touched: str) -> str:
    """Return `a/b.py::C.m` without its path, which would fill the column."""
    return touched.rpartition("::")[2] or touched


def _part_number(kind: str) -> int:
    kinds = list(EVIDENCE_WORDS)
    return kinds.index(kind) + 1 if kind in kinds else len(kinds) + 1
