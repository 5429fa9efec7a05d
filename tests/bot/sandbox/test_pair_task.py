"""What a run reads, gathered by a child: the pinned commit as a clone cut there would show it, or a reason."""

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
    LONGEST_BYTES,
    STEP_BYTES,
    Gathered,
    Gathering,
    dump_gathered,
    lengths_of,
    load_gathered,
)
from bot.sandbox.screening_task import EvidenceFile, dump_order, load_order
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
LATE = 2_000_000_000  # when every head here had long been seen


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
def order(tmp_path: Path, server: GitServer) -> Callable[..., ScreeningTask]:
    def make(gathering: Gathering | None, **changes: Any) -> ScreeningTask:
        usual: dict[str, Any] = {
            "url": f"{server}/ada/code.git",
            "folder": tmp_path / "clones" / "ada" / "code",
            "most_bytes": 1 << 30,
            "token": TOKEN,
            "seen_at": LATE,
            "gather": gathering,
        }
        return ScreeningTask(**usual | changes)

    return make


Order = Callable[..., ScreeningTask]


def publish(history: History, tmp_path: Path) -> str:
    """What the server shows from now on; the id of its head."""
    place = tmp_path / "root" / "ada" / "code.git"
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    return open_repository(history.write(place)).head.hex()


def longer(history: History, commits: int = 3) -> History:
    """The same history with more fixes of the last days."""
    more = dataclasses.replace(history, commits=[*history.commits], tips={**history.tips}, ids={**history.ids})
    for number in range(commits):
        body = "\n".join(f"    y = x + {number + i}" for i in range(4))
        more.commit(f"fix: later {number}", {"src/later.py": f"def later(x):\n{body}\n    return y\n"})
    return more


def pairs_of(history: History, tmp_path: Path) -> PairSet:
    """Of a clone that ends there, in this process."""
    repository = dataclasses.replace(open_repository(history.write(tmp_path / "cut.git")), name="ada/code")
    with Miner(repository, MESSAGES) as miner, repository.reader() as reader:

        def read(blob: str) -> bytes:
            return reader.blob(bytes.fromhex(blob), 1 << 20)

        return build_pair_set(miner, build_dataset(miner, MESSAGES, read, seen_at=LATE), MESSAGES, read)


def failure(loop: asyncio.Runner, supervisor: Supervisor, order: ScreeningTask) -> tuple[str, str]:
    with pytest.raises(ScreeningFailed) as caught:
        loop.run(supervisor.gather(order))
    return caught.value.kind, caught.value.sentence


def test_pairs_are_those_of_the_head(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, tmp_path: Path
) -> None:
    head = publish(healthy(), tmp_path)
    wanted = order(Gathering("pairs", head))
    gathered = loop.run(supervisor.gather(wanted))
    found = decode_pairs((wanted.folder / "pairs.parquet").read_bytes())
    cut = pairs_of(healthy(), tmp_path)
    assert (gathered.id, found.head_sha) == (cut.id, head)
    assert found.scores_digest == cut.scores_digest
    assert gathered.positives == (cut.signals > 0).sum() > 0
    assert gathered.train == lengths_of(len(render_prompt(p).encode()) for p in cut.train)
    assert gathered.scored == lengths_of(len(render_prompt(p).encode()) for p in cut.holdout)
    assert (gathered.trained_on, gathered.label_recipe_id, gathered.config_hash) == (len(cut.train), MESSAGES.id, "")


@pytest.mark.parametrize("screened_before", [False, True])
def test_pairs_are_those_of_the_pinned_commit_though_the_branch_has_moved(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, tmp_path: Path, screened_before: bool
) -> None:
    pinned = publish(healthy(), tmp_path)
    if screened_before:
        loop.run(supervisor.screen(order(None)))
    publish(longer(healthy()), tmp_path)
    wanted = order(Gathering("pairs", pinned))
    gathered = loop.run(supervisor.gather(wanted))
    found = decode_pairs((wanted.folder / "pairs.parquet").read_bytes())
    cut = pairs_of(healthy(), tmp_path)
    assert (gathered.id, found.id, found.head_sha) == (cut.id, cut.id, pinned)
    assert found.scores_digest == cut.scores_digest


@pytest.mark.parametrize("cloned_before", [False, True])
def test_a_commit_that_the_branch_does_not_lead_to_any_more_is_refused(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, tmp_path: Path, cloned_before: bool
) -> None:
    pinned = publish(longer(healthy()), tmp_path)
    if cloned_before:
        loop.run(supervisor.gather(order(Gathering("pairs", pinned))))
    publish(longer(healthy(), 1), tmp_path)
    kind, sentence = failure(loop, supervisor, order(Gathering("pairs", pinned)))
    assert (kind, pinned[:12] in sentence) == ("moved", True)


def test_a_ranking_set_is_of_the_pinned_commit_and_its_window(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, tmp_path: Path
) -> None:
    pinned = publish(healthy(), tmp_path)
    publish(longer(healthy()), tmp_path)
    for window_s in (0, 300 * DAY_S):
        wanted = order(Gathering("ranking", pinned, window_s))
        gathered = loop.run(supervisor.gather(wanted))
        found = decode_ranking_set((wanted.folder / "ranking.parquet").read_bytes())
        assert (gathered.id, found.head_sha, found.as_of - found.train_start) == (found.id, pinned, window_s)
        assert (gathered.trained_on, sum(gathered.scored.values())) == (len(found.train), len(found.head))
        assert (gathered.trained_on > 0) == (window_s > 0)


def test_a_repositorys_own_configuration_shapes_what_is_gathered_and_measured(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, tmp_path: Path
) -> None:
    head = publish(healthy(), tmp_path)
    own = Overlay(ignore_patterns=(".",))
    gathered = loop.run(supervisor.gather(order(Gathering("pairs", head), overlay=own)))
    assert (gathered.positives, gathered.config_hash) == (0, own.config_hash)
    measured = loop.run(supervisor.screen(order(None, overlay=own))).measurement
    assert measured.density is not None
    assert measured.density.value == 0.0


def test_a_stored_clone_that_is_damaged_is_received_once_more(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, tmp_path: Path
) -> None:
    head = publish(healthy(), tmp_path)
    wanted = order(Gathering("pairs", head))
    sound = loop.run(supervisor.gather(wanted))
    (pack,) = (wanted.folder / "clone.git" / "objects" / "pack").glob("*.pack")
    content = bytearray(pack.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    pack.chmod(0o600)
    pack.write_bytes(content)
    shutil.rmtree(wanted.folder / "facts")
    assert loop.run(supervisor.gather(wanted)) == sound


def test_a_child_that_gathers_is_held_to_the_same_limits(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, tmp_path: Path
) -> None:
    head = publish(healthy(), tmp_path)
    assert failure(loop, supervisor, order(Gathering("pairs", head), wall_s=0.001))[0] == "time"
    assert failure(loop, supervisor, order(Gathering("pairs", head), memory_mb=64))[0] == "memory"


def test_whoever_only_screens_loads_nothing_of_it() -> None:
    script = "import sys, bot.sandbox.supervisor, bot.sandbox.screening_child; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert {"pyarrow", "sklearn", "torch", "fsspec", "bot.sandbox.pair_child"}.isdisjoint(loaded)


# Words between worker and child

GATHERED = Gathered("a" * 64, "0123456789ab", "", {32: 3, 64: 1}, 2, {96: 5})


def test_an_order_comes_back_from_its_line_with_all_that_it_asks_for(tmp_path: Path) -> None:
    full = ScreeningTask(
        url="https://github.example/ada/code",
        folder=tmp_path,
        most_bytes=1,
        overlay=Overlay(bug_labels=("bug",), fix_patterns=("a", "b"), exclude=("x/**",)),
        recipe="messages+api",
        evidence=EvidenceFile(tmp_path / "evidence.json", 1_700_000_000, "ada/code", "github.example"),
        gather=Gathering("ranking", "b" * 40, 7),
    )
    assert load_order(dump_order(full)) == full


@pytest.mark.parametrize("pin", ["", "main", "b" * 39, "B" * 40, "../" + "b" * 37])
def test_only_a_whole_commit_pins(pin: str) -> None:
    with pytest.raises(ValueError, match="40 digits"):
        Gathering("pairs", pin)


def test_what_was_gathered_comes_back_from_json() -> None:
    assert load_gathered(json.loads(json.dumps(dump_gathered(GATHERED)))) == GATHERED


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../" + "a" * 61},
        {"id": "A" * 64},
        {"train": {"32": 3}},
        {"train": [[32]]},
        {"train": [[-1, 3]]},
        {"scored": [[32, 1 << 40]]},
        {"scored": [[1 << 40, 1]]},
        {"positives": None},
        {"label_recipe_id": ""},
    ],
)
def test_a_child_that_was_taken_over_is_not_believed(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        load_gathered(dump_gathered(GATHERED) | change)


@given(st.lists(st.integers(0, 2 * LONGEST_BYTES), max_size=50))
def test_lengths_count_everything_and_make_nothing_shorter_that_a_model_reads_whole(sizes: list[int]) -> None:
    lengths = lengths_of(sizes)
    assert sum(lengths.values()) == len(sizes)
    told = sorted(size for size, amount in lengths.items() for _ in range(amount))
    for size, shown in zip(sorted(sizes), told, strict=True):
        assert min(size, LONGEST_BYTES) <= shown <= min(size + STEP_BYTES - 1, LONGEST_BYTES)
