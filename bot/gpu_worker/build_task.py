"""Build the training task of a run: load the runs it depends on, fetch and verify its input, name its URLs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bot.disk.artifacts import Artifacts
from bot.gpu_worker.training_task import TrainingTask
from bot.messages.reasons import NOT_RETRAINED, WINNER_GONE
from bot.records import Run
from bot.store.database import Database
from bot.store.runs import load_run, runs_of
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.records import AssayError

INPUT = "input.parquet"


@dataclass(frozen=True)
class EarlierRuns:
    """The runs that a refit or a score depends on."""

    judged: Run | None = None  # the run that won
    refitted: Run | None = None  # its refit


async def load_earlier_runs(database: Database, run: Run) -> EarlierRuns:
    """Load the runs that `run` depends on. Raises AssayError if one of them no longer exists."""
    if run.purpose == "judge":
        return EarlierRuns()
    async with database.read() as connection:
        judged = await load_run(connection, run.installation_id, run.judged_run_id)
        refits = await runs_of(connection, run.installation_id, run.repository_id, "refit")
    if judged is None or not (judged.result or {}).get("judged"):
        raise AssayError(WINNER_GONE)
    refitted = next((refit for refit in refits if _is_of(refit, judged)), None)
    if run.purpose == "score" and refitted is None:
        raise AssayError(NOT_RETRAINED)
    return EarlierRuns(judged, refitted)


def _is_of(refit: Run, judged: Run) -> bool:
    return refit.judged_run_id == judged.run_id and refit.ending == "finished" and bool(refit.artifacts)


async def build_task(
    run: Run,
    earlier: EarlierRuns,
    recipe: FinetuneRecipe,
    artifacts: Artifacts,
    folder: Path,
    *,
    device: str,
    lease_s: float,
) -> TrainingTask:
    """Write the run's input into `folder` and return the task. Raises AssayError, and StoreError if the store fails."""
    content = await asyncio.to_thread(artifacts.get_pairs, run)
    input_file = folder / INPUT
    await asyncio.to_thread(input_file.write_bytes, content)
    return TrainingTask(
        purpose=run.purpose,
        name=str(run.run_id),
        requested_at=run.made_at.isoformat(),
        input_file=input_file,
        input_id=run.pair_set_id or "",
        out=folder / "out",
        recipe=recipe,
        device=device,
        worker_timeout_s=lease_s,
        checkpoints_url=artifacts.checkpoints_url(run),
        known_checkpoints=run.checkpoints,
        results_url=results_url(artifacts, run, artifacts.done_name(run)),
        judged=_result(earlier.judged).get("judged"),
        refitted=_result(earlier.refitted) if run.purpose == "score" else None,
        adapters_url=_adapters_url(artifacts, earlier.refitted) if run.purpose == "score" else "",
    )


def results_url(artifacts: Artifacts, run: Run, name: str) -> str:
    """Return the URL of the folder that `Run.artifacts` names."""
    return f"{artifacts.run_url(run)}/done/{PurePosixPath(name).name}"


def _adapters_url(artifacts: Artifacts, refitted: Run | None) -> str:
    return "" if refitted is None else results_url(artifacts, refitted, refitted.artifacts or "")


def _result(run: Run | None) -> dict[str, Any]:
    return {} if run is None else dict(run.result or {})
