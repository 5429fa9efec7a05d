"""A data directory that takes nothing more: what is on this machine is judged all the same, or told in one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tests.builders.broken import HEALTHY_DENSITY, healthy
from tests.flows.command import Assay, in_child, json_of, line_of, warning_of
from tests.simulator.git_server import GitServer

pytestmark = pytest.mark.faults


@pytest.fixture
def address(forge: GitServer) -> str:
    return f"{forge}/ada/code.git"


@pytest.mark.parametrize("file_bytes", [9_000, 40_000])
def test_facts_that_find_no_room_cost_no_verdict(assay: Assay, good: Path, file_bytes: int) -> None:
    for answer in in_child(assay.data_dir, [good, good], file_bytes=file_bytes):
        assert json_of(answer)["density"] == HEALTHY_DENSITY
    assay.is_usable()


def test_a_clone_that_finds_no_room_is_one_line_and_leaves_nothing(assay: Assay, address: str) -> None:
    (answer,) = in_child(assay.data_dir, [address], file_bytes=500)
    assert line_of(answer) == (
        f"no space left in {assay.data_dir}/clones: free some, or set ASSAY_DATA_DIR to a larger disk"
    )
    assert [path.suffix for path in (assay.data_dir / "clones").iterdir()] == [".lock"]
    assert assay.judges(address)["density"] == HEALTHY_DENSITY


def test_a_fetch_that_finds_no_room_is_one_line_and_leaves_the_clone_as_it_was(
    assay: Assay, address: str, tmp_path: Path
) -> None:
    assay.judges(address)
    longer = healthy()
    longer.commit("docs: the end", {"README.md": os.urandom(2_000)})
    (tmp_path / "forge" / "ada" / "code.git").rename(tmp_path / "old.git")
    longer.write(tmp_path / "forge" / "ada" / "code.git")
    (answer,) = in_child(assay.data_dir, [address], file_bytes=500)
    assert "no space left in" in line_of(answer)
    (clone,) = (assay.data_dir / "clones").glob("*.git")
    assert assay.judges(clone)["commits"] == len(healthy().commits)
    assert assay.judges(address)["commits"] == len(longer.commits)


def test_a_ledger_that_finds_no_room_costs_a_warning_and_is_not_torn(
    assay: Assay, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_a_little(descriptor: int, data: bytes) -> int:
        if len(data) <= 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real_write(descriptor, data[:100])

    real_write = os.write
    monkeypatch.setattr("pipeline.calibration.ledger.os.write", write_a_little)
    answer = assay.tries(good)
    monkeypatch.undo()
    monkeypatch.setenv("ASSAY_DATA_DIR", str(assay.data_dir))
    assert "No space left" in warning_of(answer)
    assert (assay.data_dir / "calibration" / "ledger.jsonl").read_bytes() == b""
    assay.is_usable()


def test_a_data_directory_that_nobody_can_make_costs_a_warning_and_every_clone(
    assay: Assay, good: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_DATA_DIR", "/proc/assay")
    assert "set ASSAY_DATA_DIR to another folder" in warning_of(assay.tries(good))
    assert line_of(assay.tries(address)).startswith("cannot write to /proc/assay/clones: ")


def test_a_file_in_the_place_of_the_data_directory_is_one_line_and_left_alone(
    assay: Assay, good: Path, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "file"))
    for source in (good, address):
        assert line_of(assay.tries(source)).startswith(f"cannot read {tmp_path}/file/calibration/ledger.jsonl: ")
    assert (tmp_path / "file").read_text() == "mine"
