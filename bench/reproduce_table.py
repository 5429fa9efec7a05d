"""Fine-tune on the repositories of the published table: `make reproduce-table REPOS=DIR BASE_MODEL=DIR`.

    1. run `assay finetune` on each clone at its pinned head, and again with shuffled labels (one seed)
    2. write the figures to pipeline/calibration/reproduced.json, replacing those of an earlier run
    3. render docs/results/published-table.md

DIR holds a clone of each history that the seed names, as DIR/OWNER/NAME. Each run has its own folder under --out:
finished ones are not repeated, interrupted ones resume.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipeline.calibration.reproduced import RESOURCE, load_reproduced, render_reproduced, reproduced_of
from pipeline.calibration.seed import SeedRecord, load_seed
from pipeline.git.repository import open_repository
from pipeline.reports.published_table import render_published_table

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "pipeline" / "calibration" / RESOURCE
PAGE = ROOT / "docs" / "results" / "published-table.md"


def main() -> int:
    options = parse_arguments()
    seed, reproduced = load_seed(), load_reproduced()
    for record in seed.records:
        name = record.published.name
        if not record.published.in_table or (options.only and name not in options.only):
            continue
        clone = options.clones / record.published.history
        problem = missing(clone, record)
        if problem:
            print(f"{name}: not run, {problem}", file=sys.stderr)
            continue
        folder = options.out / name.replace("/", "+")
        result = run_finetune(clone, folder / "run", options, ("--seeds", str(options.seeds)))
        control = run_finetune(clone, folder / "control", options, ("--seeds", "1", "--shuffled-labels"))
        reproduced[name] = reproduced_of(name, result, control)
        FIGURES.write_text(render_reproduced(reproduced.values()), encoding="utf-8")
        PAGE.write_text(render_published_table(seed, reproduced), encoding="utf-8")
        print(f"{name}: {result['outcome']}, ρ adapter {result['rho_adapter']}, baseline {result['rho_baseline']}")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.reproduce_table", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("clones", type=Path, metavar="DIR", help="clones of the histories, as DIR/OWNER/NAME")
    parser.add_argument("--base-model", required=True, metavar="NAME|DIR")
    parser.add_argument("--out", type=Path, default=Path(".reproduced"), metavar="DIR", help="folder of the runs")
    parser.add_argument("--only", action="append", metavar="OWNER/NAME", help="only these rows")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--max-tokens", type=int, default=1_024, metavar="N")
    parser.add_argument("--epochs", type=int, default=3, metavar="N")
    parser.add_argument("--validations", type=int, default=8, metavar="N")
    parser.add_argument("--max-minutes", type=float, default=360, metavar="M", help="limit per run")
    return parser.parse_args()


def missing(clone: Path, record: SeedRecord) -> str:
    """Return why a clone cannot be used; empty if it can."""
    if not clone.is_dir():
        return f"there is no {clone}"
    head = open_repository(clone).head.hex()
    pinned = record.measured.head_sha
    return "" if head == pinned else f"{clone} is at {head[:12]}: check out {pinned}"


def run_finetune(clone: Path, out: Path, options: argparse.Namespace, more: tuple[str, ...]) -> dict[str, Any]:
    """Return the result of a run, finished now or before. Raises CalledProcessError if it fails, after its message."""
    done = out / "result.json"
    if not done.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        names = ("max-tokens", "epochs", "validations", "max-minutes")
        limits = [part for name in names for part in (f"--{name}", str(getattr(options, name.replace("-", "_"))))]
        command = [str(Path(sys.executable).with_name("assay")), "finetune", str(clone), "--out", str(out)]
        subprocess.run(
            [*command, "--base-model", options.base_model, *limits, *more, "--json"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    result: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return result


if __name__ == "__main__":
    sys.exit(main())
