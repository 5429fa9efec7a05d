"""The replies of a child, run in this process. Confinement is tested with real children in test_supervisor."""

from __future__ import annotations

import dataclasses
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.screening_child import run_task
from bot.sandbox.screening_task import ScreeningTask, dump_task, load_task
from pipeline.records import AssayError
from pipeline.screening.measurement import load_measurement
from tests.builders.broken import healthy

TASK = ScreeningTask(
    url="https://github.example/ada/code",
    folder=Path("/nowhere/7/21"),
    max_pack_bytes=1_000,
    token="canary-token",
    seen_at=1_700_000_000,
    ca_bundle=Path("/etc/ours.pem"),
    proxies={"HTTPS_PROXY": "http://user:canary-password@proxy:3128"},
)


def test_a_task_round_trips_and_its_repr_hides_secrets() -> None:
    assert load_task(dump_task(TASK)) == TASK
    assert dump_task(TASK).count(b"\n") == 1
    assert "canary" not in repr(TASK)


def ask(line: bytes) -> dict[str, Any] | None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(line)
        ours.shutdown(socket.SHUT_WR)
        run_task(theirs, TASK.limits, lambda folder, also_read: None)
        theirs.close()
        reply = b"".join(iter(lambda: ours.recv(65_536), b""))
    return json.loads(reply) if reply else None


def test_a_child_is_confined_to_its_folder_and_the_given_certificates() -> None:
    arguments: list[object] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(dump_task(TASK))
        run_task(theirs, TASK.limits, lambda folder, also_read: arguments.extend((folder, *also_read)))
    assert arguments == [Path("/nowhere/7/21"), Path("/etc/ours.pem")]


@pytest.mark.parametrize("problem", [KeyError("canary-code"), MemoryError(), AssayError("canary-name")])
def test_a_failed_ranking_is_reported_by_location_after_the_measurement(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, problem: Exception
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise problem

    path = healthy().write(tmp_path / "code.git")
    monkeypatch.setattr("bot.sandbox.screening_child.clone_or_fetch", lambda *arguments, **options: path)
    monkeypatch.setattr("bot.sandbox.screening_child.subjects_at_head", fail)
    task = dataclasses.replace(TASK, folder=tmp_path / "folder", rank=True)
    measured, unranked = (each for each in replies_to(task) if "progress" not in each)
    assert load_measurement(measured["measurement"]).density is not None
    assert unranked["unranked"].startswith(f"stopped on an error ({type(problem).__name__} in test_screening_child.py")
    assert "canary" not in repr(unranked)


def test_no_ranking_unless_requested_and_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = healthy().write(tmp_path / "code.git")
    monkeypatch.setattr("bot.sandbox.screening_child.clone_or_fetch", lambda *arguments, **options: path)
    task = dataclasses.replace(TASK, folder=tmp_path / "folder")
    assert [list(each) for each in replies_to(task) if "progress" not in each] == [["measurement"]]
    task = dataclasses.replace(task, rank=True, url="nonsense")
    assert [list(each) for each in replies_to(task) if "progress" not in each] == [["error"]]


def replies_to(task: ScreeningTask) -> list[dict[str, Any]]:
    """Every line that a child sends for a task."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(dump_task(task))
        run_task(theirs, task.limits, lambda folder, also_read: None)
        theirs.close()
        reply = b"".join(iter(lambda: ours.recv(65_536), b""))
    return [json.loads(line) for line in reply.splitlines()]


def test_a_closed_socket_ends_the_child_without_a_reply() -> None:
    assert ask(b"") is None


@pytest.mark.parametrize(
    ("problem", "kind", "sentence"),
    [
        (KeyError("canary-code"), "crash", "stopped on an error of Assay's own (KeyError in test_screening_child.py, "),
        (RecursionError("canary-code"), "crash", "stopped on an error of Assay's own (RecursionError in "),
        (MemoryError(), "memory", "ran out of memory (limit 4,096 MB)"),
    ],
)
def test_a_bug_is_reported_by_location_and_never_by_text(
    monkeypatch: pytest.MonkeyPatch, problem: Exception, kind: str, sentence: str
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise problem

    monkeypatch.setattr("bot.sandbox.screening_child.clone_or_fetch", fail)
    reply = ask(dump_task(TASK))
    assert reply is not None
    assert reply["error"]["kind"] == kind
    assert reply["error"]["sentence"].startswith(sentence)
    assert "canary" not in repr(reply)


def test_an_invalid_url_is_one_line() -> None:
    reply = ask(dump_task(ScreeningTask(url="https://" + "x" * 5_000, folder=Path("/nowhere"), max_pack_bytes=1)))
    assert reply == {
        "error": {
            "kind": "unreadable",
            "sentence": "the URL is longer than 2,048 characters: give https://host/owner/name",
        }
    }
