"""`assay labels classify`: what the label rules say of commit messages, to check them against labels of one's own.

A message alone decides here. Mining knows more: merges, changes of comments or tests only, reverted and repeated fixes
give no credit, and issues add evidence.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.text import Text

from bot.cli.output import AsJson, print_result
from bot.cli.recipe_option import parse_recipe
from pipeline.classify.messages import read_message
from pipeline.label_recipe import MESSAGES, LabelRecipe
from pipeline.records import AssayError

STDIN = Path("-")
MAX_LINE_BYTES = 4 << 20
MAX_LINES = 2_000_000


def classify_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Lines of JSON with `sha` and `message`; - for stdin.")],
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="NAME", help="The label recipe whose rules decide.")
    ] = MESSAGES.name,
    as_json: AsJson = False,
) -> None:
    """Say of each commit message whether it claims a fix, by what evidence, or why it is no fix."""
    rules = parse_recipe(recipe)
    if file == STDIN:
        commits = list(classify(sys.stdin.buffer, "stdin", rules))
    else:
        try:
            with file.open("rb") as opened:
                commits = list(classify(opened, str(file), rules))
        except OSError as error:
            raise AssayError(f"cannot read {file}: {error.strerror}") from None
    result = {"commits": commits, "label_recipe": rules.name, "label_recipe_id": rules.id}
    print_result(result, as_json, lambda _: Text(_summary(commits, rules)))


def classify(file: BinaryIO, name: str, recipe: LabelRecipe) -> Iterator[dict[str, Any]]:
    """Yield what the rules say of each line. Raises AssayError naming the first line that is none."""
    for number, line in enumerate(_lines(file, name), 1):
        if not line.strip():
            continue
        sha, message = _parse(line, f"{name}, line {number}")
        facts = read_message(message.encode("utf-8", "replace"), b"", None, recipe)
        evidence = facts.evidence
        yield {
            "sha": sha,
            "fix": evidence is not None and facts.not_a_fix is None,
            "evidence": evidence.kind if evidence else None,
            "weight": evidence.weight if evidence else None,
            "not_a_fix": facts.not_a_fix,
        }


def _lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    for number in range(1, MAX_LINES + 2):
        line = file.readline(MAX_LINE_BYTES + 1)
        if not line:
            return
        if len(line) > MAX_LINE_BYTES or number > MAX_LINES:
            what = f"has more than {MAX_LINE_BYTES >> 20} MB" if number <= MAX_LINES else "is one too many"
            raise AssayError(f"{name}, line {number} {what}: split the file")
        yield line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _parse(line: bytes, place: str) -> tuple[str, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise AssayError(f"{place} is no JSON") from None
    if not isinstance(row, dict):
        raise AssayError(f'{place} must be an object with "sha" and "message"')
    for key in ("sha", "message"):
        if not isinstance(row.get(key), str):
            what = f'has no "{key}"' if key not in row else f'has a "{key}" that is no text'
            raise AssayError(f"{place} {what}")
    return row["sha"], row["message"]


def _summary(commits: Iterable[dict[str, Any]], recipe: LabelRecipe) -> str:
    rows = list(commits)
    fixes = Counter(str(row["evidence"]) for row in rows if row["fix"])
    refused = Counter(row["not_a_fix"] for row in rows if row["evidence"] and row["not_a_fix"])
    total = sum(fixes.values())
    share = f" ({100 * total / len(rows):.0f} %)" if rows else ""
    lines = [f"{len(rows):,} messages by the label recipe {recipe.name} ({recipe.id}): {total:,} claim a fix{share}"]
    lines += [f"  {count:,} by {kind}" for kind, count in sorted(fixes.items())]
    lines += [f"  {count:,} mention a fix but are no fix: {reason}" for reason, count in sorted(refused.items())]
    return "\n".join(lines)
