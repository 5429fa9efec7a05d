"""Building a fine-tuning run's input file in a child: the pinned commit as if the clone ended there, or an error."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.sandbox.pair_task import (
    MAX_PROMPT_BYTES,
    PROMPT_STEP_BYTES,
    PairResult,
    PairTask,
    dump_pair_result,
    lengths_of,
    load_pair_result,
)
from bot.sandbox.screening_task import EvidenceFile, dump_task, load_task
from bot.sandbox.supervisor import ScreeningFailed, ScreeningTask, Supervisor
from pipeline.classify.overlay import Overlay
from pipeline.finetuning.pair_file import decode_pairs
from pipeline.finetuning.pair_set import PairSet, build_pair_set
from pipeline.finetuning.prompts import render_prompt
from pipeline.finetuning.ranking_file import decode_ranking_set
from pipeline.git.repository import open_repository
from pipeline.json_fields import MalformedError
from pipeline.label_recipe import MESSAGES
from pipeline.mining.miner import Miner
from pipeline.ranking.dataset import build_dataset
from pipeline.records import DAY_S
from tests.builders.broken import healthy
from tests.builders.history import History
from tests.simulator.git_server import GitServer, serve_git

TOKEN = "ghs_canary-of-the-token"
LATE = 2_000_000_000  # after every head in this module


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def supervisor(loop: asyncio.Runner) -> Iterator[Supervisor]:
    supervisor = Supervisor()
    loop.run(supervisor.start())
    yield supervisor
    loop.run(supervisor.close())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with serve_git(tmp_path / "root", TOKEN) as server:
        yield server


@pytest.fixture
def task(tmp_path: Path, server: GitServer) -> Callable[..., ScreeningTask]:
    def make(pair_task: PairTask | None, **changes: Any) -> ScreeningTask:
        usual: dict[str, Any] = {
            "url": f"{server}/ada/code.git",
            "folder": tmp_path / "clones" / "ada" / "code",
            "max_pack_bytes": 1 << 30,
            "token": TOKEN,
            "seen_at": LATE,
            "pair_task": pair_task,
        }
        return ScreeningTask(**usual | changes)

    return make


MakeTask = Callable[..., ScreeningTask]


def publish(history: History, tmp_path: Path) -> str:
    """Serve this history; return the id of its head."""
    place = tmp_path / "root" / "ada" / "code.git"
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    return open_repository(history.write(place)).head.hex()


def longer(history: History, commits: int = 3) -> History:
    """The same history with further fixes at its end."""
    more = dataclasses.replace(history, commits=[*history.commits], tips={**history.tips}, ids={**history.ids})
    for number in range(commits):
        body = "\n".join(f"    y = x + {number + i}" for i in range(4))
        more.commit(f"fix: later {number}", {"src/later.py": f"def later(x):\n{body}\n    return y\n"})
    return more


def pairs_of(history: History, tmp_path: Path) -> PairSet:
    """Build the pairs in this process, from a clone that ends at the head."""
    repository = dataclasses.replace(open_repository(history.write(tmp_path / "cut.git")), name="ada/code")
    with Miner(repository, MESSAGES) as miner, repository.reader() as reader:

        def read(blob: str) -> bytes:
            return reader.blob(bytes.fromhex(blob), 1 << 20)

        return build_pair_set(miner, build_dataset(miner, MESSAGES, read, seen_at=LATE), MESSAGES, read)


def failure(loop: asyncio.Runner, supervisor: Supervisor, task: ScreeningTask) -> tuple[str, str]:
    with pytest.raises(ScreeningFailed) as caught:
        loop.run(supervisor.prepare_pairs(task))
    return caught.value.kind, caught.value.sentence


def test_pairs_are_those_of_the_head(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, tmp_path: Path
) -> None:
    head = publish(healthy(), tmp_path)
    job = task(PairTask("pairs", head))
    result = loop.run(supervisor.prepare_pairs(job))
    found = decode_pairs((job.folder / "pairs.parquet").read_bytes())
    cut = pairs_of(healthy(), tmp_path)
    assert (result.id, found.head_sha) == (cut.id, head)
    assert found.scores_digest == cut.scores_digest
    assert result.positives == (cut.signals > 0).sum() > 0
    assert result.train == lengths_of(len(render_prompt(p).encode()) for p in cut.train)
    assert result.scored == lengths_of(len(render_prompt(p).encode()) for p in cut.holdout)
    assert (result.trained_on, result.label_recipe_id, result.config_hash) == (len(cut.train), MESSAGES.id, "")


@pytest.mark.parametrize("screened_before", [False, True])
def test_pairs_are_those_of_the_pinned_commit_after_the_branch_moved(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, tmp_path: Path, screened_before: bool
) -> None:
    pinned = publish(healthy(), tmp_path)
    if screened_before:
        loop.run(supervisor.screen(task(None)))
    publish(longer(healthy()), tmp_path)
    job = task(PairTask("pairs", pinned))
    result = loop.run(supervisor.prepare_pairs(job))
    found = decode_pairs((job.folder / "pairs.parquet").read_bytes())
    cut = pairs_of(healthy(), tmp_path)
    assert (result.id, found.id, found.head_sha) == (cut.id, cut.id, pinned)
    assert found.scores_digest == cut.scores_digest


@pytest.mark.parametrize("cloned_before", [False, True])
def test_a_commit_no_longer_on_the_branch_is_refused(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, tmp_path: Path, cloned_before: bool
) -> None:
    pinned = publish(longer(healthy()), tmp_path)
    if cloned_before:
        loop.run(supervisor.prepare_pairs(task(PairTask("pairs", pinned))))
    publish(longer(healthy(), 1), tmp_path)
    kind, sentence = failure(loop, supervisor, task(PairTask("pairs", pinned)))
    assert (kind, pinned[:12] in sentence) == ("moved", True)


def test_a_ranking_set_covers_the_pinned_commit_and_its_window(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, tmp_path: Path
) -> None:
    pinned = publish(healthy(), tmp_path)
    publish(longer(healthy()), tmp_path)
    for window_s in (0, 300 * DAY_S):
        job = task(PairTask("ranking", pinned, window_s))
        result = loop.run(supervisor.prepare_pairs(job))
        found = decode_ranking_set((job.folder / "ranking.parquet").read_bytes())
        assert (result.id, found.head_sha, found.as_of - found.train_start) == (found.id, pinned, window_s)
        assert (result.trained_on, sum(result.scored.values())) == (len(found.train), len(found.head))
        assert (result.trained_on > 0) == (window_s > 0)


def test_the_repository_configuration_applies_to_pairs_and_measurements(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, tmp_path: Path
) -> None:
    head = publish(healthy(), tmp_path)
    own = Overlay(ignore_patterns=(".",))
    result = loop.run(supervisor.prepare_pairs(task(PairTask("pairs", head), overlay=own)))
    assert (result.positives, result.config_hash) == (0, own.config_hash)
    measured = loop.run(supervisor.screen(task(None, overlay=own))).measurement
    assert measured.density is not None
    assert measured.density.value == 0.0


def test_a_damaged_clone_is_cloned_again(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, tmp_path: Path
) -> None:
    head = publish(healthy(), tmp_path)
    job = task(PairTask("pairs", head))
    sound = loop.run(supervisor.prepare_pairs(job))
    (pack,) = (job.folder / "clone.git" / "objects" / "pack").glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    pack.chmod(0o600)
    pack.write_bytes(content)
    shutil.rmtree(job.folder / "facts")
    assert loop.run(supervisor.prepare_pairs(job)) == sound


def test_a_pair_task_runs_under_the_same_limits(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, tmp_path: Path
) -> None:
    head = publish(healthy(), tmp_path)
    assert failure(loop, supervisor, task(PairTask("pairs", head), wall_s=0.001))[0] == "time"
    assert failure(loop, supervisor, task(PairTask("pairs", head), memory_mb=64))[0] == "memory"


def test_screening_does_not_import_the_pair_libraries() -> None:
    script = "import sys, bot.sandbox.supervisor, bot.sandbox.screening_child; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert {"pyarrow", "sklearn", "torch", "fsspec", "bot.sandbox.pair_child"}.isdisjoint(loaded)


# Serialization

RESULT = PairResult("a" * 64, "0123456789ab", "", {32: 3, 64: 1}, 2, {96: 5})


def test_a_task_round_trips_with_every_field(tmp_path: Path) -> None:
    full = ScreeningTask(
        url="https://github.example/ada/code",
        folder=tmp_path,
        max_pack_bytes=1,
        overlay=Overlay(bug_labels=("bug",), fix_patterns=("a", "b"), exclude=("x/**",)),
        recipe="messages+api/2",
        evidence=EvidenceFile(tmp_path / "evidence.json", 1_700_000_000, "ada/code", "github.example"),
        pair_task=PairTask("ranking", "b" * 40, 7),
    )
    assert load_task(dump_task(full)) == full


def test_a_pin_must_be_a_full_commit_hash(subtests: pytest.Subtests) -> None:
    for pin in ("", "main", "b" * 39, "B" * 40, "../" + "b" * 37):
        with subtests.test(pin=pin), pytest.raises(ValueError, match="40 digits"):
            PairTask("pairs", pin)


def test_a_result_round_trips_through_json() -> None:
    assert load_pair_result(json.loads(json.dumps(dump_pair_result(RESULT)))) == RESULT


def test_malformed_results_are_rejected(subtests: pytest.Subtests) -> None:
    cases: list[dict[str, Any]] = [
        {"id": "../" + "a" * 61},
        {"id": "A" * 64},
        {"train": {"32": 3}},
        {"train": [[32]]},
        {"train": [[-1, 3]]},
        {"scored": [[32, 1 << 40]]},
        {"scored": [[1 << 40, 1]]},
        {"positives": None},
        {"label_recipe_id": ""},
    ]
    for change in cases:
        with subtests.test(change=change), pytest.raises(MalformedError):
            load_pair_result(dump_pair_result(RESULT) | change)


@given(st.lists(st.integers(0, 2 * MAX_PROMPT_BYTES), max_size=50))
def test_lengths_keep_the_count_and_never_round_down_below_the_cap(sizes: list[int]) -> None:
    lengths = lengths_of(sizes)
    assert sum(lengths.values()) == len(sizes)
    rounded = sorted(size for size, amount in lengths.items() for _ in range(amount))
    for size, shown in zip(sorted(sizes), rounded, strict=True):
        assert min(size, MAX_PROMPT_BYTES) <= shown <= min(size + PROMPT_STEP_BYTES - 1, MAX_PROMPT_BYTES)
