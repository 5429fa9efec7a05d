"""Render a screening as lines for a terminal: the verdict first, then its basis."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pipeline.mining.source_files import describe_left_out
from pipeline.records import Density, Screening
from pipeline.reports import numbers
from pipeline.reports.diagnosis_text import advice, compare_recipes, why_no_density
from pipeline.reports.escape import inert
from pipeline.reports.jinja import EVIDENCE_WORDS
from pipeline.reports.plots import DensityAxis, density_axis

WIDTH = 92
MIN_WIDTH = 72
MAX_NOTES = 5
MAX_EXCLUDED = 6

_LABEL_WIDTH = 11
_ASCII = str.maketrans(
    {"●": "W", "○": "L", "◆": "#", "─": "-", "├": "|", "┤": "|", "│": "|", "┼": "+", "┴": "+", "░": ":", "•": "*"}
    | {"…": "...", "±": "+/-", "−": "-", "’": "'"}
)


def lines(screening: Screening, *, width: int = WIDTH, unicode: bool = True) -> list[str]:
    """Return uncoloured lines of at most `width` columns (at least 72), in ASCII if `unicode` is false."""
    width = max(width, MIN_WIDTH)
    rendered = [
        f"{inert(screening.mined.repo, 60)}: {inert(screening.verdict.words)}",
        "",
        *_figures(screening),
        "",
        *_axis(screening, width),
        "",
        *(line for reason in screening.verdict.reasons for line in _bullet(reason, width)),
        "",
        *(line for label, text in _facts(screening) for line in _labelled(label, text, width)),
    ]
    return rendered if unicode else [_ascii(line) for line in rendered]


def _ascii(line: str) -> str:
    return line.translate(_ASCII).encode("ascii", "backslashreplace").decode()


def _figures(screening: Screening) -> list[str]:
    density, threshold = screening.density, screening.threshold
    band = f"too close to call from {numbers.density(threshold.band_low)} to {numbers.density(threshold.band_high)} (░)"
    if density is None:
        measured = f"none     {why_no_density(screening.mined.obstacle)}"
    else:
        low, high = numbers.density(density.low), numbers.density(density.high)
        measured = f"{numbers.density(density.value):<9}95 % interval {low} to {high}"
    return [_line("density", measured), _line("threshold", f"{numbers.density(threshold.value):<9}{band}")]


def _axis(screening: Screening, width: int) -> list[str]:
    """Draw winners, this repository with its interval, and losers on one logarithmic axis."""
    axis = density_axis(screening.mined.repo, screening.density, screening.threshold, screening.standing)
    columns = width - 2 - _LABEL_WIDTH - 4
    rows = [
        _line("winners", _row(axis, columns, "winner", "●")),
        _line("this repo", _own_row(axis, columns)),
        _line("losers", _row(axis, columns, "loser", "○")),
        _line("", _scale(axis, columns)),
        _line("", _tick_labels(axis, columns)),
    ]
    return rows if screening.density else rows[:1] + rows[2:]


def _column(position: float, columns: int) -> int:
    return round(position * (columns - 1))


def _blank(axis: DensityAxis, columns: int) -> list[str]:
    """Return an empty row that shows the band and the threshold."""
    cells = [" "] * columns
    low, high = (_column(at, columns) for at in axis.band)
    cells[low : high + 1] = "░" * (high + 1 - low)
    cells[_column(axis.threshold, columns)] = "│"
    return cells


def _row(axis: DensityAxis, columns: int, mark: str, sign: str) -> str:
    cells = _blank(axis, columns)
    for row in axis.rows:
        if row.mark == mark:
            cells[_column(row.at, columns)] = sign
    return "".join(cells)


def _own_row(axis: DensityAxis, columns: int) -> str:
    cells = _blank(axis, columns)
    for row in axis.rows:
        if row.mark == "here":
            low, high = _column(row.left, columns), _column(row.right, columns)
            cells[low : high + 1] = ["┼" if cell == "│" else "─" for cell in cells[low : high + 1]]
            cells[low], cells[high] = "├", "┤"
            cells[_column(row.at, columns)] = "◆"
    return "".join(cells)


def _scale(axis: DensityAxis, columns: int) -> str:
    cells = ["─"] * columns
    for tick in axis.ticks:
        cells[_column(tick.at, columns)] = "┴"
    return "".join(cells)


def _tick_labels(axis: DensityAxis, columns: int) -> str:
    """Put labels under their ticks, omitting those that would touch; the last may extend to the right."""
    text = ""
    for tick in axis.ticks:
        start = max(0, _column(tick.at, columns) - len(tick.label) // 2)
        if not text or start > len(text):
            text = text.ljust(start) + tick.label
    return text


def _facts(screening: Screening) -> list[tuple[str, str]]:
    """Return labelled facts, without those that have no text."""
    mined = screening.mined
    exceptions = ", ".join(_capped(screening.standing.counterexamples, MAX_NOTES))
    facts = [
        ("position", _position(screening)),
        ("functions", _functions(screening.density)),
        ("windows", _windows(screening)),
        ("commits", _commits(screening)),
        ("left out", _excluded(screening)),
        ("not read", describe_left_out(mined.files) if mined.files and not mined.obstacle else ""),
        ("evidence", _evidence(screening)),
        ("compared", compare_recipes(screening.other, screening.density)),
        *(("advice", sentence) for sentence in (advice(screening.diagnosis) if screening.diagnosis else [])),
        ("issues", screening.evidence_note),
        ("exceptions", f"{exceptions}: on the wrong side of the threshold" if exceptions else ""),
        *(("note", note) for note in _capped(mined.notes, MAX_NOTES)),
        ("measured", _provenance(screening)),
    ]
    return [(label, text) for label, text in facts if text]


def _functions(density: Density | None) -> str:
    if density is None:
        return ""
    return (
        f"{density.pairs:,} measured, {density.positives:,} of them fixed ({numbers.share(density.positive_share)}); "
        f"{numbers.share(density.file_positive_share)} are in a fixed file"
    )


def _commits(screening: Screening) -> str:
    mined = screening.mined
    return (
        f"{mined.commits:,}, {mined.window_commits:,} of them in the training window; "
        f"{numbers.counted(mined.fix_commits, 'fix commit')}, {len(mined.counted):,} gave credit"
    )


def _evidence(screening: Screening) -> str:
    kinds = sorted(screening.evidence.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{numbers.share(part)} {EVIDENCE_WORDS.get(kind, kind)}" for kind, part in kinds)


def _provenance(screening: Screening) -> str:
    own = f", this repository’s own configuration {screening.config_hash}" if screening.config_hash else ""
    return (
        f"at {screening.mined.head_sha[:12]}, label recipe {screening.label_recipe_id}{own}, "
        f"in {screening.seconds:.1f} s using {numbers.size_mb(screening.peak_rss_mb)}"
    )


def _position(screening: Screening) -> str:
    """Name the two neighbours in the calibration set; empty without a density or outcomes."""
    density, standing = screening.density, screening.standing
    outcomes = [(value, name, "won") for name, value in standing.winners]
    outcomes += [(value, name, "did not win") for name, value in standing.losers]
    if density is None or not outcomes:
        return ""
    denser = min((o for o in outcomes if o[0] >= density.value), default=None)
    sparser = max((o for o in outcomes if o[0] < density.value), default=None)
    sides = [
        f"{side} {o[1]} ({numbers.density(o[0])}, {o[2]})" for side, o in (("below", denser), ("above", sparser)) if o
    ]
    ends = "" if denser and sparser else f", the {'densest' if sparser else 'least dense'} of all"
    return f"{' and '.join(sides)}{ends}"


def _windows(screening: Screening) -> str:
    windows = screening.mined.windows
    return (
        f"training {numbers.day(windows.train_start)} to {numbers.day(windows.eval_start)} (the signal), "
        f"horizon to {numbers.day(windows.as_of)} (kept to judge a run)"
    )


def _excluded(screening: Screening) -> str:
    groups = screening.mined.excluded
    named = [f"{group.reason} ({group.commits:,})" for group in groups[:MAX_EXCLUDED]]
    rest = sum(group.commits for group in groups[MAX_EXCLUDED:])
    return "; ".join([*named, f"other reasons ({rest:,})"] if rest else named)


def _capped(texts: Sequence[str], limit: int) -> list[str]:
    return [*texts[:limit], f"and {len(texts) - limit} more"] if len(texts) > limit else list(texts)


def _line(label: str, text: str) -> str:
    return f"  {label:<{_LABEL_WIDTH}}{text}".rstrip()


def _labelled(label: str, text: str, width: int) -> list[str]:
    wrapped = _wrapped(text, width - 2 - _LABEL_WIDTH) or [""]
    return [_line(label, wrapped[0]), *(_line("", more) for more in wrapped[1:])]


def _bullet(text: str, width: int) -> list[str]:
    return [("    " if i else "  • ") + line for i, line in enumerate(_wrapped(text, width - 4))]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(inert(text, 600), width, break_on_hyphens=False)
