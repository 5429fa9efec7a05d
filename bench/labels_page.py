"""The generated part of docs/results/label-quality.md, from bench/labels.json; no figure in it is typed by hand."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.calibration.threshold import share

BOTH_LABELS = ("levin", "amit")  # sets with labels of both kinds; the others are lists of fixes
LARGE = 50  # commits; the precision of a smaller project says little
OTHERS = "smaller projects"
Figures = Mapping[str, Any]


def render_figures(figures: Figures) -> str:
    """Return the sections as Markdown."""
    sections = ["## Against public labels", _INTRODUCTION]
    if fixes := figures.get("fixes"):
        sections += [_fixes(fixes), _NOTE_ON_PROJECTS, _projects(fixes), _NOTE_ON_RECALL, _recalls(fixes)]
    if functions := figures.get("functions"):
        sections += ["## Functions against an independent parser", _NOTE_ON_FUNCTIONS, _functions(functions)]
    return "\n\n".join(sections) + "\n"


_INTRODUCTION = """\
Commits labelled by others: *levin* (Levin and Yehudai, 2017, eleven Java projects) and *amit* (Amit and Feitelson, many
projects) say of each commit whether it is a bug fix; the benchmarks of reproducible bugs list fixes only. The message
alone is judged, by each label recipe; a diff that changes only comments or tests would be left out as well. Wilson
intervals, 95 %."""

_NOTE_ON_PROJECTS = """\
Projects with more than 50 commits in the two sets, by the newest recipe:"""

_NOTE_ON_RECALL = """\
Recall on reproducible bugs. Projects whose messages are issue keys (Bugs.jar) need the issues' types as well."""

_NOTE_ON_FUNCTIONS = """\
Functions of at least three lines at HEAD, by name and place. Ctags does not name what is bound to a variable
(`const f = () => …`), so a precision below 100 % there is a lower bound; its own errors count against us."""


def _fixes(fixes: Sequence[Figures]) -> str:
    rows = []
    for recipe in dict.fromkeys(row["recipe"] for row in fixes):
        for name in (*BOTH_LABELS, "together"):
            sets = BOTH_LABELS if name == "together" else (name,)
            counts = _sum(row for row in fixes if row["recipe"] == recipe and row["set"] in sets)
            if not counts.total():
                continue
            precision, recall = _precision(counts), _recall(counts)
            f1 = 2 * counts["found"] / (2 * counts["found"] + counts["false"] + counts["missed"])
            rows.append(f"| {recipe} | {name} | {counts.total():,} | {precision} | {recall} | {f1:.3f} |")
    return "\n".join(
        ["| recipe | labels | commits | precision | recall | F1 |", "| --- | --- | --- | --- | --- | --- |", *rows]
    )


def _projects(fixes: Sequence[Figures]) -> str:
    newest = fixes[-1]["recipe"]
    projects: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in fixes:
        if row["recipe"] == newest and row["set"] in BOTH_LABELS and row["project"] != OTHERS:
            projects[row["set"], row["project"]] += _sum([row])
    rows = [
        f"| {of} | {project} | {counts.total():,} | {_precision(counts)} | {_recall(counts)} |"
        for (of, project), counts in sorted(projects.items())
    ]
    return "\n".join(["| labels | project | commits | precision | recall |", "| --- | --- | --- | --- | --- |", *rows])


def _recalls(fixes: Sequence[Figures]) -> str:
    recipes = list(dict.fromkeys(row["recipe"] for row in fixes))
    sets = sorted({row["set"] for row in fixes} - set(BOTH_LABELS))
    rows = []
    for name in (*sets, "together"):
        of = sets if name == "together" else [name]
        cells = [_sum(r for r in fixes if r["recipe"] == recipe and r["set"] in of) for recipe in recipes]
        rows.append(f"| {name} | {cells[0].total():,} | " + " | ".join(map(_recall, cells)) + " |")
    head = f"| benchmark | fixes | {' | '.join(f'recall, {recipe}' for recipe in recipes)} |"
    return "\n".join([head, "| --- " * (2 + len(recipes)) + "|", *rows])


def _functions(functions: Sequence[Figures]) -> str:
    rows = [
        f"| {row['language']} | {row['repository']} | {row['head_sha'][:10]} | {row['parser']} | {row['theirs']:,} "
        f"| {_percent(row['both'], row['theirs'])} | {_percent(row['both'], row['ours'])} |"
        for row in sorted(functions, key=lambda row: (row["language"], row["repository"]))
    ]
    head = "| language | repository | head | parser | functions | recall | precision |"
    return "\n".join([head, "| --- " * 7 + "|", *rows])


def _sum(rows: Iterable[Figures]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update({kind: row[kind] for kind in ("found", "missed", "false", "rejected")})
    return counts


def _precision(counts: Counter[str]) -> str:
    return _percent(counts["found"], counts["found"] + counts["false"])


def _recall(counts: Counter[str]) -> str:
    return _percent(counts["found"], counts["found"] + counts["missed"])


def _percent(part: int, whole: int) -> str:
    if not whole:
        return "–"
    found = share(part, whole)
    return f"{100 * part / whole:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"
