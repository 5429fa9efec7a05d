"""`assay calibration`: show and change the outcomes behind the threshold.

Each command reads the ledger, decides in a pure function what to add, and shows the resulting calibration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.cli.calibration.seed import seed_command
from bot.cli.calibration.view import change_fields, describe, render
from bot.cli.files import read_whole, write_whole
from bot.cli.output import AsJson, print_result
from bot.cli.recipe_option import RecipeName, parse_recipe
from bot.settings import load_settings
from pipeline.calibration.calibration_set import CalibrationSet, adoption, change, require_known
from pipeline.calibration.import_export import parse_exchange, plan_import, render_exchange
from pipeline.calibration.ledger import amend, calibration_folder, load_calibration_set
from pipeline.calibration.ledger_entries import OUTCOME_KINDS, Entry, Excluded, Included, Recorded
from pipeline.calibration.seed import Seed, load_seed
from pipeline.calibration.threshold import parse_time
from pipeline.json_fields import MAX_BYTES
from pipeline.records import AssayError, Outcome, OutcomeKind

app = typer.Typer(add_completion=False, help="Show and change the outcomes behind the threshold.")
app.command("seed")(seed_command)

Repo = Annotated[str, typer.Argument(help="The repository, as owner/name.")]
OfInstallation = Annotated[
    str | None,
    typer.Option("--installation", metavar="LOGIN", help="Only the App's installation on this account."),
]


@app.command()
def show(installation: OfInstallation = None, as_json: AsJson = False) -> None:
    """Show the threshold, the outcomes behind it, and how often it was right."""
    if installation:
        from bot.cli.calibration.installation import show_installation

        print_result(show_installation(load_settings(), installation), as_json, render)
        return
    calibration_set = load_calibration_set(_folder(), load_seed())
    print_result(describe(calibration_set), as_json, render)


@app.command()
def add(
    repo: Repo,
    density: Annotated[float, typer.Option(help="The repository's mean defect signal density, from 0 to 1.")],
    outcome: Annotated[str, typer.Option(help="WIN, SOFT-LOSS, HARD-LOSS or INCONCLUSIVE.")],
    decided_at: Annotated[str, typer.Option(help="When it was decided (ISO 8601). Default: now.")] = "",
    base_model_family: Annotated[str, typer.Option(help="The family of the base model.")] = "unknown",
    as_json: AsJson = False,
) -> None:
    """Add the outcome of a fine-tuning run under the deciding label recipe."""
    if not (math.isfinite(density) and 0 <= density <= 1):
        raise AssayError(f"--density must be a number from 0 to 1, not {density}")
    parse_time(decided_at)
    at = _now()
    measured = Outcome(
        repo=repo,
        density=density,
        outcome=parse_outcome_kind(outcome),
        provenance="measured",
        label_recipe_id="",
        decided_at=decided_at or at,
        base_model_family=base_model_family,
    )
    _amend(as_json, at, lambda known: (Recorded(at, (replace(measured, label_recipe_id=known.deciding),)),))


def parse_outcome_kind(text: str) -> OutcomeKind:
    """Parse `soft-loss`, `SOFT LOSS` and the like. Raises AssayError listing the valid values."""
    normalized = " ".join(text.upper().replace("-", " ").replace("_", " ").split())
    for kind in OUTCOME_KINDS:
        if kind == normalized:
            return kind
    kinds = ", ".join(kind.replace(" ", "-") for kind in OUTCOME_KINDS)
    raise AssayError(f"--outcome must be one of {kinds}, not {text[:40]!a}")


@app.command()
def exclude(
    repo: Repo,
    reason: Annotated[str, typer.Option(help="The reason, shown wherever the outcome is.")],
    installation: OfInstallation = None,
    as_json: AsJson = False,
) -> None:
    """Ignore all outcomes of a repository, including future ones, until it is included again."""
    if not reason.strip():
        raise AssayError("--reason is empty: say why the outcomes of this repository should not count")
    if installation:
        from bot.cli.calibration.installation import exclude_from_installation

        excluded = exclude_from_installation(load_settings(), installation, repo, reason, datetime.now(UTC))
        print_result(excluded, as_json, render)
        return
    at = _now()

    def decide(known: CalibrationSet) -> Sequence[Entry]:
        require_known(known, repo)
        return () if known.exclusions.get(repo) == reason else (Excluded(at, repo, reason),)

    _amend(as_json, at, decide)


@app.command()
def include(repo: Repo, installation: OfInstallation = None, as_json: AsJson = False) -> None:
    """Use the outcomes of an excluded repository again."""
    if installation:
        from bot.cli.calibration.installation import include_in_installation

        included = include_in_installation(load_settings(), installation, repo, datetime.now(UTC))
        print_result(included, as_json, render)
        return
    at = _now()

    def decide(known: CalibrationSet) -> Sequence[Entry]:
        if repo not in known.exclusions:
            excluded = ", ".join(sorted(known.exclusions)) or "none"
            raise AssayError(f"{repo} is not excluded; excluded repositories: {excluded}")
        return (Included(at, repo),)

    _amend(as_json, at, decide)


@app.command()
def versions(
    installation: OfInstallation = None,
    verify: Annotated[bool, typer.Option("--verify", help="Recompute each version from its stored inputs.")] = False,
    as_json: AsJson = False,
) -> None:
    """List all threshold versions of the App's installations.

    With --verify it exits 1 if a version differs from the threshold recomputed from its inputs.
    """
    from bot.cli.calibration.installation import differing, list_versions, render_versions

    result = list_versions(load_settings(), installation, verify)
    print_result(result, as_json, render_versions)
    if differing(result):
        raise typer.Exit(1)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that `assay calibration export` wrote.")], as_json: AsJson = False
) -> None:
    """Add the outcomes and exclusions of an exported calibration set. Importing twice changes nothing."""
    outcomes = parse_exchange(read_whole(file, MAX_BYTES), file.name)
    at = _now()
    _amend(as_json, at, lambda known: plan_import(outcomes, known).entries(at))


@app.command()
def export(file: Annotated[Path, typer.Argument(help="The file to write.")], as_json: AsJson = False) -> None:
    """Write the calibration set, including published outcomes, to a JSON file."""
    calibration_set = load_calibration_set(_folder(), load_seed())
    write_whole(file, render_exchange(calibration_set.outcomes))
    exported = {"exported": len(calibration_set.outcomes), "file": str(file)}
    print_result(describe(calibration_set) | exported, as_json, render)


@app.command()
def adopt(
    recipe: RecipeName = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the verdicts that would flip, but change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a label recipe of this release the deciding one."""
    seed, at = load_seed(), _now()
    recipe_id = seed.label_recipe_id if recipe is None else parse_recipe(recipe).id
    if dry_run:
        known = load_calibration_set(_folder(), seed)
        preview = change(known.predictions, known.calibrate(), known.calibrate(recipe_id))
        result = describe(known, preview.after) | change_fields(preview) | {"dry_run": True}
        print_result(result, as_json, render)
        return
    _amend(as_json, at, lambda known: _adoption_entries(known, seed, recipe_id, at))


def _adoption_entries(known: CalibrationSet, seed: Seed, label_recipe_id: str, at: str) -> Sequence[Entry]:
    is_adopted = known.pinned and known.deciding == label_recipe_id
    return () if is_adopted else (adoption(seed, label_recipe_id, at),)


def _amend(as_json: bool, at: str, decide: Callable[[CalibrationSet], Sequence[Entry]]) -> None:
    calibration_set, changed = amend(_folder(), load_seed(), at, decide)
    result: dict[str, Any] = describe(calibration_set, changed.after) | change_fields(changed)
    print_result(result, as_json, render)


def _folder() -> Path:
    return calibration_folder(load_settings().data_dir)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
