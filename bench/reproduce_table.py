"""Fine-tune on the repositories of the published table: `make reproduce-table REPOS=DIR BASE_MODEL=DIR`.

    1. `assay finetune` on each clone at its pinned head, and once more with shuffled labels (one seed)
    2. the figures to pipeline/calibration/reproduced.json, where a run of before is replaced
    3. docs/results/published-table.md, written again

DIR holds a clone of each history that the seed names as DIR/OWNER/NAME. What was finished before is not run again: each
run keeps its own folder under --out, and one that was interrupted goes on where it was.
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
FIGURES = ROOT / "pipeline" / "screening" / RESOURCE
PAGE = ROOT / "docs" / "results" / "published-table.md"


def main() -> int:
    asked = arguments()
    seed, found = load_seed(), load_reproduced()
    for record in seed.records:
        name = record.published.name
        if not record.published.in_table or (asked.only and name not in asked.only):
            continue
        clone = asked.clones / record.published.history
        problem = missing(clone, record)
        if problem:
            print(f"{name}: not run, {problem}", file=sys.stderr)
            continue
        folder = asked.out / name.replace("/", "+")
        result = finetuned(clone, folder / "run", asked, ("--seeds", str(asked.seeds)))
        control = finetuned(clone, folder / "control", asked, ("--seeds", "1", "--shuffled-labels"))
        found[name] = reproduced_of(name, result, control)
        FIGURES.write_text(render_reproduced(found.values()), encoding="utf-8")
        PAGE.write_text(render_published_table(seed, found), encoding="utf-8")
        print(f"{name}: {result['outcome']}, ρ adapter {result['rho_adapter']}, baseline {result['rho_baseline']}")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.reproduce_table", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("clones", type=Path, metavar="DIR", help="clones of the histories, as DIR/OWNER/NAME")
    parser.add_argument("--base-model", required=True, metavar="NAME|DIR")
    parser.add_argument("--out", type=Path, default=Path(".reproduced"), metavar="DIR", help="where the runs are kept")
    parser.add_argument("--only", action="append", metavar="OWNER/NAME", help="just these of the table")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--max-tokens", type=int, default=1_024, metavar="N")
    parser.add_argument("--epochs", type=int, default=3, metavar="N")
    parser.add_argument("--validations", type=int, default=8, metavar="N")
    parser.add_argument("--max-minutes", type=float, default=360, metavar="M", help="for each run")
    return parser.parse_args()


def missing(clone: Path, record: SeedRecord) -> str:
    """Why a clone cannot be used; empty where it can."""
    if not clone.is_dir():
        return f"there is no {clone}"
    head = open_repository(clone).head.hex()
    wanted = record.measured.head_sha
    return "" if head == wanted else f"{clone} stands at {head[:12]}: check out {wanted}"


def finetuned(clone: Path, out: Path, asked: argparse.Namespace, more: tuple[str, ...]) -> dict[str, Any]:
    """What a run printed, or had printed before. Raises CalledProcessError where it fails: the run said why."""
    done = out / "result.json"
    if not done.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        named = ("max-tokens", "epochs", "validations", "max-minutes")
        limits = [part for name in named for part in (f"--{name}", str(getattr(asked, name.replace("-", "_"))))]
        command = [str(Path(sys.executable).with_name("assay")), "finetune", str(clone), "--out", str(out)]
        subprocess.run(
            [*command, "--base-model", asked.base_model, *limits, *more, "--json"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    sys.exit(main())
