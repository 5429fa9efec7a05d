"""A function -> the text that a model reads: path, name, language, structure, source; nothing of its history.

`Prompted` is all that a prompt can be made of, and it has no field for anything that git remembers: no touches, dates,
authors or messages. Adapters that were shown such fields relayed them instead of reading the code.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.finetuning.mask import mask_names
from pipeline.finetuning.recipe import Ablation
from pipeline.ranking.scorer import Subject
from pipeline.ranking.structure_metrics import ReadBlob
from pipeline.records import PairMetrics


@dataclass(frozen=True, slots=True)
class Prompted:
    """A function as the model may know it: one version of its code and where that stands."""

    path: str
    qualified_name: str
    language: str
    metrics: PairMetrics
    code: str  # whole lines, decoded with replacement


def render_prompt(prompted: Prompted, ablation: Ablation = "none") -> str:
    """The text of a function (the form that `PROMPT_VERSION` numbers); the source is its last part, as it stands.

    With "names", path, name and code are masked (masking.py); with "code", there is no source. Any text is taken: what
    cannot be encoded becomes "?", and a path or name stays on its line.
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


def code_of(content: bytes, start_line: int, end_line: int) -> str:
    """The lines of a file (from 1, inclusive) as text; bytes that are not UTF-8 become U+FFFD."""
    return b"\n".join(content.split(b"\n")[start_line - 1 : end_line]).decode("utf-8", "replace")


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
    return text if text.isprintable() else "".join(c if c.isprintable() else _spelled(c) for c in text)


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode()


def prompted_of(subject: Subject, read: ReadBlob) -> Prompted:
    """A function as a prompt may know it: nothing of its past. Whatever `read` raises passes through."""
    code = code_of(read(subject.blob), subject.start_line, subject.end_line)
    return Prompted(subject.path, subject.qualified_name, subject.language, subject.metrics, code)
