from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.finetuning.artifact_store import open_store
from pipeline.finetuning.events import TrainingEvent
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.training.checkpoints import Checkpoints
from pipeline.finetuning.training.loop import train
from pipeline.finetuning.training.parallel import Alone, Processes, processes
from tests.builders.bag_ranker import BagRanker, planted
from tests.builders.patience import PATIENCE_S

pytestmark = pytest.mark.finetune

ROOT = Path(__file__).parent.parent.parent.parent.parent

# One of several processes: trains and prints the result.
PROCESS = """
import json, sys
from pathlib import Path
from pipeline.finetuning.training.parallel import Accelerated
from tests.pipeline.finetuning.training.test_parallel import trained
print(json.dumps(trained(Accelerated(cpu=True), Path(sys.argv[1]))))
"""


def trained(together: Processes, folder: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    recipe = FinetuneRecipe(batch_size=16, epochs=2, learning_rate=1e-2, micro_batch_tokens=100, validations=2)
    events: list[TrainingEvent] = []
    end = train(
        BagRanker(dropout=0),
        *planted(64, share=0.4),
        recipe,
        seed=1,
        device="cpu",
        clock=lambda: 0.0,
        processes=together,
        watch=events.append,
        validate=lambda ranker: float(together.share),
        checkpoints=Checkpoints(open_store(folder), "fit"),
    )
    return {
        "share": [together.share, together.shares],
        "events": len(events),
        "best_rho": end.best_rho,
        "losses": [point.loss for point in end.curve],
        "head": end.state["head.weight"].flatten().tolist(),
    }


def start(store: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(store)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def free_port() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])


def test_two_processes_take_the_same_steps_as_one(tmp_path: Path) -> None:
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    started = [start(tmp_path / "both", RANK=str(n), LOCAL_RANK=str(n), **group) for n in range(2)]
    try:
        first, second = (json.loads(process.communicate(timeout=PATIENCE_S)[0].splitlines()[-1]) for process in started)
    finally:
        for process in started:
            process.kill()
            process.wait()
    alone = trained(Alone(), tmp_path / "one")
    assert [each["share"] for each in (first, second, alone)] == [[0, 2], [1, 2], [0, 1]]
    assert first["losses"] == pytest.approx(alone["losses"], rel=1e-4)
    assert first["head"] == second["head"] == pytest.approx(alone["head"], rel=1e-3, abs=1e-5)
    assert (first["best_rho"], second["best_rho"]) == (0.0, 0.0)  # what the first one found
    assert (first["events"], second["events"]) == (alone["events"], 0)  # one alone reports
    saved = [{path.name for path in (tmp_path / store / "fit").iterdir()} for store in ("both", "one")]
    assert saved[0] == saved[1]


def test_one_process_has_nothing_to_share() -> None:
    alone = processes()
    assert isinstance(alone, Alone)
    tensor = torch.ones(3)
    assert alone.total(tensor) is tensor
    assert alone.agree("as it is") == "as it is"
