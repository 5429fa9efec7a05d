"""`assay gpu-worker` with a tiny model: training, resuming after a kill, refit, score, and no credentials."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from bot.records import Run
from bot.run_progress import load_progress
from bot.store.budgets import list_gpu_workers, month_of
from bot.store.runs import RunRequest, open_run, queue_run
from pipeline.finetuning.ranking_file import encode_ranking_set
from pipeline.finetuning.ranking_set import RankingSet
from pipeline.ranking.shortlist import load_shortlist
from pipeline.reports.finetune_json import load_refit, load_winning_run, winning_run_json
from tests.bot.gpu_worker.test_attempt import is_there
from tests.bot.gpu_worker.test_gpu_processes import sweep
from tests.builders.app_processes import ROOT, until
from tests.builders.gpu_bench import SHOP, Bench, bench
from tests.builders.pair_sets import planted, quick
from tests.builders.patience import PATIENCE_S
from tests.builders.tiny_model import tiny_decoder
from tests.pipeline.finetuning.ranking_sets import planted_ranking, winner_of

pytestmark = pytest.mark.finetune

PROGRAM = "import typer; from bot.cli.server.gpu_worker import gpu_worker; typer.run(gpu_worker)"
RECIPE = {
    "max_tokens": 96,
    "learning_rate": 0.01,
    "head_learning_rate": 0.02,
    "lora_dropout": 0.0,
    "epochs": 2,
    "validations": 2,
    "seeds": [1],
}
CREDENTIALS = {"ASSAY_PRIVATE_KEY": "canary", "ASSAY_WEBHOOK_SECRET": "canary", "ASSAY_CLIENT_SECRET": "canary"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_decoder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def gpu(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as one:
        yield one


def start(gpu: Bench, model: Path, *options: str, **environment: str) -> subprocess.Popen[bytes]:
    settings = {
        "ASSAY_DATA_DIR": str(gpu.folder / "data"),
        "ASSAY_DATABASE_URL": gpu.database_url,
        "ASSAY_ARTIFACTS_URL": str(gpu.folder / "artifacts"),
        "ASSAY_BASE_MODELS": f"acme/coder={model}",
        "ASSAY_GPU_LEASE_S": "60",
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--device", "cpu", *options],
        env={**os.environ, **settings, **environment},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    gpu.processes.append(process)
    return process


def once(gpu: Bench, model: Path, **environment: str) -> dict[str, Any]:
    process = start(gpu, model, "--once", "--json", **environment)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    result: dict[str, Any] = json.loads(output)
    return result


def queue_ranking(gpu: Bench, ranking: RankingSet, purpose: Any, judged_run: Run) -> Run:
    gpu.artifacts.put_pairs(10, SHOP, encode_ranking_set(ranking), ranking.id)
    request = RunRequest(
        purpose=purpose,
        head_sha=ranking.head_sha,
        base_model="acme/coder",
        recipe=RECIPE,
        label_recipe_id=ranking.label_recipe_id,
        judged_run_id=judged_run.run_id,
    )

    async def put(connection: Any) -> Run:
        run, _ = await open_run(connection, 10, SHOP, request, judged_run.made_at)
        month = month_of(run.made_at)
        await queue_run(connection, run, pair_set_id=ranking.id, minutes=5.0, month=month, now=run.made_at)
        return run

    return gpu.write(put)


def test_a_run_is_judged_then_refitted_then_scores_a_newer_head(gpu: Bench, model: Path) -> None:
    first = gpu.queue(pairs=planted(), recipe=RECIPE)
    shown = once(gpu, model)
    assert (shown["run_id"], shown["state"], shown["ending"], shown["reason"]) == (
        first.run_id,
        "ended",
        "finished",
        "",
    )
    won = gpu.run(first.run_id)
    assert won.result is not None
    assert won.result["outcome"] == "WIN"
    assert won.recipe_id == won.result["recipe_id"]
    kept = load_winning_run(won.result["judged"])
    assert (kept.run_id, kept.judged_at) == (str(won.run_id), won.made_at.isoformat())
    progress = load_progress(won.progress)
    assert progress is not None
    assert progress.device.startswith("CPU")
    assert {name.rpartition("/")[2] for name in gpu.files()} >= {"adapter.safetensors", "result.json", "curves.png"}
    assert all(name.startswith(won.artifacts or "?") for name in gpu.files())
    (worker,) = gpu.write(list_gpu_workers)
    assert worker.device.startswith("CPU")

    ranking, guilty = planted_ranking()
    again = queue_ranking(gpu, ranking, "refit", won)
    assert once(gpu, model)["ending"] == "finished"
    refit = gpu.run(again.run_id)
    assert refit.result is not None
    record = load_refit(refit.result)
    assert record.judged == kept
    ranked = load_shortlist(refit.result["shortlist"])
    assert ranked.scorer == kept.scorer
    suspects = {ranking.head[i].path for i in guilty.nonzero()[0]}
    assert sum(place.path in suspects for place in ranked.functions[:10]) >= 8

    newer, _ = planted_ranking(head_sha="b" * 40)
    third = queue_ranking(gpu, newer, "score", won)
    assert once(gpu, model)["ending"] == "finished"
    scored = gpu.run(third.run_id)
    assert scored.result is not None
    assert (scored.artifacts, scored.result["head_sha"]) == (None, "b" * 40)
    assert load_shortlist(scored.result["shortlist"]).functions == ranked.functions  # the same functions and adapter
    assert once(gpu, model)["run_id"] is None


def test_a_killed_run_resumes_to_the_same_result(gpu: Bench, model: Path) -> None:
    slow = RECIPE | {"epochs": 3, "seeds": [1, 2]}
    run = gpu.queue(pairs=planted(), recipe=slow)
    whole = gpu.queue(200, pairs=planted(), recipe=slow)
    first = start(gpu, model)
    until("some steps", lambda: gpu.run(run.run_id).progress.get("phase") == "training on all labels")
    (child,) = psutil.Process(first.pid).children()
    first.kill()
    first.wait()
    until("its child is gone", lambda: not is_there(child.pid))
    gpu.end_lease(run)
    assert sweep(gpu) == 1
    start(gpu, model)
    until("both ends", lambda: all(gpu.run(i).state == "ended" for i in (run.run_id, whole.run_id)))
    results = [gpu.run(i).result for i in (run.run_id, whole.run_id)]
    figures = [{name: (result or {})[name] for name in ("outcome", "rho_adapter", "delta", "n")} for result in results]
    assert figures[0] == figures[1]
    assert (gpu.run(run.run_id).attempts, gpu.run(whole.run_id).attempts) == (2, 1)


def test_app_credentials_are_removed_from_its_environment_and_its_childs(gpu: Bench, model: Path) -> None:
    run = gpu.queue(pairs=planted(), recipe=RECIPE)
    worker = start(gpu, model, **CREDENTIALS)
    until("it trains", lambda: bool(gpu.run(run.run_id).progress))
    (child,) = psutil.Process(worker.pid).children()
    seen = Path(f"/proc/{child.pid}/environ").read_bytes()
    assert b"canary" not in seen
    assert b"ASSAY_" not in seen
    worker.send_signal(signal.SIGTERM)
    output, _ = worker.communicate(timeout=PATIENCE_S)
    assert worker.returncode == 0
    assert b"canary" not in output
    assert (gpu.run(run.run_id).state, gpu.run(run.run_id).attempts) == ("queued", 0)


def test_a_refit_with_a_different_recipe_crashes_with_the_reason(gpu: Bench, model: Path) -> None:
    """The server's recipe has changed since the run won."""
    won = gpu.queue(pairs=planted(), recipe=RECIPE)
    result = {"judged": winning_run_json(winner_of(quick(model)))}

    async def pretend(connection: Any) -> None:
        await connection.execute(
            text("UPDATE runs SET state = 'ended', ending = 'finished', result = :result, open_key = NULL"),
            {"result": json.dumps(result)},
        )

    gpu.write(pretend)
    ranking, _ = planted_ranking()
    again = queue_ranking(gpu, ranking, "refit", won)
    assert once(gpu, model)["ending"] == "crashed"
    assert "retrain with the recipe that won" in (gpu.run(again.run_id).reason or "")
