"""Render a function as the text that a model reads: path, name, language, structure, source; nothing of its history.

`Prompted` is all that a prompt can be made of, and it has no field for anything that git remembers: no touches, dates,
authors or messages. Adapters trained with such fields relayed them instead of reading the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from pipeline.finetuning.mask import mask_names
from pipeline.finetuning.recipe import Ablation
from pipeline.ranking.scorer import Subject
from pipeline.ranking.structure_metrics import ReadBlob
from pipeline.records import PairMetrics
from pipeline.syntax.line_ends import with_line_feeds

_CACHED_BLOBS = 4  # functions come file by file


@dataclass(frozen=True, slots=True)
class Prompted:
    """A function as the model may know it: one version of its code and where it stands."""

    path: str
    qualified_name: str
    language: str
    metrics: PairMetrics
    code: str  # whole lines, decoded with replacement


def render_prompt(prompted: Prompted, ablation: Ablation = "none") -> str:
    """Render the prompt (the form that `PROMPT_VERSION` numbers); the source is its last part, as it stands.

    With "names", path, name and code are masked (mask.py); with "code", the source is left out. Any text is accepted:
    characters that cannot be encoded become "?", and a path or name stays on its line.
    """
    path, name, code = prompted.path, prompted.qualified_name, prompted.code
    if ablation == "names":
        path, name, code = mask_names(prompted.language, path, name, code)
    lines = (
        f"Language: {_one_line(prompted.language)}",
        f"File: {_one_line(path)}",
        f"Function: {_one_line(name)}",
        f"Structure: {_structure(prompted.metrics)}",
        "Source:",
        "" if ablation == "code" else code,
    )
    return "\n".join(lines).encode("utf-8", "replace").decode()


def prompted_of(subject: Subject, read: ReadBlob) -> Prompted:
    """Return a function without its history. Whatever `read` raises passes through."""
    code = code_of(read(subject.blob), subject.start_line, subject.end_line)
    return Prompted(subject.path, subject.qualified_name, subject.language, subject.metrics, code)


def code_of(content: bytes, start_line: int, end_line: int) -> str:
    """Return the lines of a file (from 1, inclusive) as text; bytes that are not UTF-8 become U+FFFD."""
    return b"\n".join(with_line_feeds(content).split(b"\n")[start_line - 1 : end_line]).decode("utf-8", "replace")


def cache_blobs(read: ReadBlob) -> ReadBlob:
    """Return `read` with a cache of the last few blobs."""
    return lru_cache(_CACHED_BLOBS)(read)


def _structure(metrics: PairMetrics) -> str:
    counts = (
        ("lines", metrics.lines),
        ("cyclomatic complexity", metrics.cyclomatic_complexity),
        ("nesting depth", metrics.nesting_depth),
        ("fan-out", metrics.fan_out),
        ("early exits", metrics.exits),
        ("parameters", metrics.parameters),
    )
    return ", ".join(f"{name} {'unknown' if value is None else value}" for name, value in counts)


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
