"""From a run in the database to the order for the process that trains."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bot.disk.artifacts import Artifacts
from bot.gpu_worker.training_task import TrainingTask
from bot.records import Run
from bot.store.database import Database
from bot.store.runs import load_run, runs_of
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.records import AssayError

INPUT = "input.parquet"


@dataclass(frozen=True)
class Earlier:
    """What a run of purpose refit or score stands on."""

    judged: Run | None = None  # the run that won
    refitted: Run | None = None  # its training once more


async def earlier_of(database: Database, run: Run) -> Earlier:
    """Raises AssayError where it is not there (any more)."""
    if run.purpose == "judge":
        return Earlier()
    async with database.read() as connection:
        judged = await load_run(connection, run.installation_id, run.judged_run_id)
        refits = await runs_of(connection, run.installation_id, run.repository_id, "refit")
    if judged is None or not (judged.result or {}).get("judged"):
        raise AssayError("the run that won is not there any more: the baseline ranks until another run wins")
    refitted = next((refit for refit in refits if _is_of(refit, judged)), None)
    if run.purpose == "score" and refitted is None:
        raise AssayError("no adapter was trained once more: the baseline ranks until one is")
    return Earlier(judged, refitted)


def _is_of(refit: Run, judged: Run) -> bool:
    return refit.judged_run_id == judged.run_id and refit.ending == "finished" and bool(refit.artifacts)


async def build_task(
    run: Run,
    earlier: Earlier,
    recipe: FinetuneRecipe,
    artifacts: Artifacts,
    folder: Path,
    *,
    device: str,
    lease_s: float,
) -> TrainingTask:
    """With what it reads written into `folder`. Raises AssayError, and StoreError where the store does not work."""
    content = await asyncio.to_thread(artifacts.get_pairs, run)
    input_file = folder / INPUT
    await asyncio.to_thread(input_file.write_bytes, content)
    return TrainingTask(
        purpose=run.purpose,
        name=str(run.run_id),
        asked_at=run.made_at.isoformat(),
        input_file=input_file,
        input_id=run.pair_set_id or "",
        out=folder / "out",
        recipe=recipe,
        device=device,
        silent_s=lease_s,
        checkpoints=artifacts.checkpoints_url(run),
        known_checkpoints=run.checkpoints,
        done=done_url(artifacts, run, artifacts.done_name(run)),
        judged=_result(earlier.judged).get("judged"),
        refitted=_result(earlier.refitted) if run.purpose == "score" else None,
        adapters=_adapters(artifacts, earlier.refitted) if run.purpose == "score" else "",
    )


def done_url(artifacts: Artifacts, run: Run, name: str) -> str:
    """Where the folder is that a `Run.artifacts` names."""
    return f"{artifacts.run_url(run)}/done/{PurePosixPath(name).name}"


def _adapters(artifacts: Artifacts, refitted: Run | None) -> str:
    return "" if refitted is None else done_url(artifacts, refitted, refitted.artifacts or "")


def _result(run: Run | None) -> dict[str, Any]:
    return {} if run is None else dict(run.result or {})
