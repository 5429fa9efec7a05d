"""The one Jinja environment: everything printed is made inert and escaped, whether a template asks for it or not."""

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
    """Templates beside this module, with the spellings of `numerals` as filters of the same names."""
    made = Environment(
        loader=PackageLoader("pipeline.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    spelled = ("iso", "day", "density", "count", "counted", "share", "span", "size_mb", "short")
    made.filters.update({name: getattr(numbers, name) for name in spelled})
    made.filters.update(
        inert=inert,
        percent=_percent,
        anchor=_anchor,
        sentence=_sentence,
        function_name=_function_name,
        evidence_words=lambda kind: EVIDENCE_WORDS.get(kind, kind),
        part_number=_part_number,
    )
    return made


def _finalize(value: object) -> object:
    """Plain text becomes inert before it is escaped; markup that a macro made has been through here already."""
    return inert(value, longest=2_000) if type(value) is str else value


def _percent(position: float) -> str:
    return f"{100 * position:.2f}%"


def _anchor(position: float) -> str:
    """Which side of a label to pin, so that it stays inside the plot."""
    return "start" if position < 0.2 else "end" if position > 0.8 else "middle"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _function_name(touched: str) -> str:
    """`a/b.py::C.m` without its path, which would fill the column."""
    return touched.rpartition("::")[2] or touched


def _part_number(kind: str) -> int:
    kinds = list(EVIDENCE_WORDS)
    return kinds.index(kind) + 1 if kind in kinds else len(kinds) + 1
