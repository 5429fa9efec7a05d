"""Evaluate rankings on the pinned public histories: `python -m bench.rankings DIR`.

    1. evaluate each history at its pinned head                      as `assay evaluate` does
    2. rank all its functions and files as of T_eval                 as `assay rank --as-of` does
    3. write bench/rankings.json
    4. compare, paired by history, and write docs/results/rankings.md        bench.rankings_page

DIR holds a clone of each history as DIR/OWNER/NAME (may be bare) with the pinned head checked out.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from bench.histories import PinnedHistory, load_histories
from bench.rankings_page import render_rankings
from bot.cli.local.evaluate import blobs_of
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.ranking.dataset import Dataset, build_dataset
from pipeline.ranking.evaluate import Evaluation, evaluate
from pipeline.ranking.rank import Ranked, rank_files, rank_functions, subjects_at_head
from pipeline.reports.evaluation_json import evaluation_json
from pipeline.reports.numbers import iso
from pipeline.screening.measure import facts_path

ROOT = Path(__file__).parent.parent
JSON_FILE = Path(__file__).with_name("rankings.json")
PAGE = ROOT / "docs" / "results" / "rankings.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.rankings", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("clones", type=Path, metavar="DIR", help="clones of the histories, as DIR/OWNER/NAME")
    parser.add_argument("--data-dir", type=Path, required=True, help="where mining results are cached")
    parser.add_argument("--only", action="append", metavar="OWNER/NAME", help="measure only these, keep other results")
    options = parser.parse_args()
    previous = json.loads(JSON_FILE.read_text(encoding="utf-8")) if JSON_FILE.exists() else []
    results = {result["repository"]: result for result in previous}
    for history in load_histories():
        if options.only is None or history.repository in options.only:
            results[history.repository] = measure(history, options.clones, options.data_dir)
            JSON_FILE.write_text(
                json.dumps(list(results.values()), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )
            print(history.repository, results[history.repository]["seconds"], "s", file=sys.stderr)
    PAGE.write_text(render_rankings(list(results.values())), encoding="utf-8")
    return 0


def load_dataset(history: PinnedHistory, clones: Path, data_dir: Path) -> Dataset:
    """Build the dataset of a history. Raises SystemExit if the clone is at another head."""
    repository = open_repository(clones / history.repository)
    with (
        Miner(repository, MESSAGES, facts_path(data_dir, repository), 2) as miner,
        repository.reader() as reader,
    ):
        dataset = build_dataset(miner, MESSAGES, blobs_of(reader))
    if dataset.mined.head_sha != history.head_sha:
        raise SystemExit(f"{history.repository} is at {dataset.mined.head_sha}: check out {history.head_sha}")
    return dataset


def measure(history: PinnedHistory, clones: Path, data_dir: Path) -> dict[str, Any]:
    """Return one row of rankings.json. Raises SystemExit if the clone is at another head."""
    started = time.perf_counter()
    dataset = load_dataset(history, clones, data_dir)
    evaluation = evaluate(dataset, MESSAGES)
    repository = open_repository(clones / history.repository)
    store = facts_path(data_dir, repository)
    with Miner(repository, MESSAGES, store, 2) as miner, repository.reader() as reader:
        subjects = subjects_at_head(miner, blobs_of(reader), as_of=dataset.mined.windows.eval_start)
    return {
        "repository": history.repository,
        "language": history.language,
        "set": history.set,
        **_compact(evaluation),
        "year_back": {
            "as_of": iso(dataset.mined.windows.eval_start),
            "functions": _hits(rank_functions(subjects), dataset, whole_files=False),
            "files": _hits(rank_files(subjects), dataset, whole_files=True),
        },
        "seconds": round(time.perf_counter() - started, 1),
    }


def _compact(evaluation: Evaluation) -> dict[str, Any]:
    fields = evaluation_json(evaluation, MESSAGES.id)
    kept = ("head_sha", "as_of", "eval_start", "conclusive", "reasons", "functions", "files", "label_recipe_id")
    return {key: fields[key] for key in kept}


def _hits(ranking: list[Ranked], dataset: Dataset, whole_files: bool) -> dict[str, Any]:
    """Count how many of the top 10, the top 20 and all were fixed in the year after."""
    fixed = {
        (s.path, "" if whole_files else s.qualified_name, 0 if whole_files else s.start_line)
        for s, label in zip(dataset.evaluated, dataset.labels.tolist(), strict=True)
        if label > 0
    }
    hit = [
        (r.path, "" if whole_files else r.qualified_name, 0 if whole_files else r.start_line) in fixed for r in ranking
    ]
    return {"ranked": len(ranking), "fixed": sum(hit), "first_10": sum(hit[:10]), "first_20": sum(hit[:20])}


if __name__ == "__main__":
    sys.exit(main())
