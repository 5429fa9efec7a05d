"""The tables of a Markdown page, for tests that hold a page equal to the code."""

from __future__ import annotations

from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"


def table(page: str, heading: str) -> list[list[str]]:
    """Cells of the first table under `heading`, a row a list, header and rule left out, code marks removed."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    below = lines[lines.index(heading) + 1 :]
    start = next(i for i, line in enumerate(below) if line.startswith("|"))
    rows = []
    for line in below[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip().strip("|").split("|")])
    return rows[2:]
