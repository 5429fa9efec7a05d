"""What a child answers, asked in this process; that it is confined is tested with real children in test_supervisor."""

from __future__ import annotations

import dataclasses
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.screening_child import answer
from bot.sandbox.screening_task import ScreeningTask, dump_order, load_order
from pipeline.records import AssayError
from pipeline.screening.measurement import load_measurement
from tests.builders.broken import healthy

ORDER = ScreeningTask(
    url="https://github.example/ada/code",
    folder=Path("/nowhere/7/21"),
    most_bytes=1_000,
    token="canary-token",
    seen_at=1_700_000_000,
    ca_bundle=Path("/etc/ours.pem"),
    proxies={"HTTPS_PROXY": "http://user:canary-password@proxy:3128"},
)


def test_an_order_comes_back_from_its_line_and_shows_no_secret() -> None:
    assert load_order(dump_order(ORDER)) == ORDER
    assert dump_order(ORDER).count(b"\n") == 1
    assert "canary" not in repr(ORDER)


def ask(line: bytes) -> dict[str, Any] | None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(line)
        ours.shutdown(socket.SHUT_WR)
        answer(theirs, ORDER.limits, lambda folder, also_read: None)
        theirs.close()
        said = b"".join(iter(lambda: ours.recv(65_536), b""))
    return json.loads(said) if said else None


def test_a_child_is_confined_to_its_folder_and_the_certificates_it_was_given() -> None:
    asked: list[object] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(dump_order(ORDER))
        answer(theirs, ORDER.limits, lambda folder, also_read: asked.extend((folder, *also_read)))
    assert asked == [Path("/nowhere/7/21"), Path("/etc/ours.pem")]


@pytest.mark.parametrize("problem", [KeyError("canary-code"), MemoryError(), AssayError("canary-name")])
def test_a_ranking_that_fails_is_told_by_its_place_after_the_measurement(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, problem: Exception
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise problem

    path = healthy().write(tmp_path / "code.git")
    monkeypatch.setattr("bot.sandbox.screening_child.clone_or_fetch", lambda *arguments, **options: path)
    monkeypatch.setattr("bot.sandbox.screening_child.subjects_at_head", fail)
    order = dataclasses.replace(ORDER, folder=tmp_path / "folder", rank=True)
    measured, unranked = (each for each in say(order) if "progress" not in each)
    assert load_measurement(measured["measurement"]).density is not None
    assert unranked["unranked"].startswith(f"stopped on an error ({type(problem).__name__} in test_screening_child.py")
    assert "canary" not in repr(unranked)


def test_nothing_is_ranked_where_nobody_asked_or_nothing_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = healthy().write(tmp_path / "code.git")
    monkeypatch.setattr("bot.sandbox.screening_child.clone_or_fetch", lambda *arguments, **options: path)
    order = dataclasses.replace(ORDER, folder=tmp_path / "folder")
    assert [list(each) for each in say(order) if "progress" not in each] == [["measurement"]]
    order = dataclasses.replace(order, rank=True, url="nonsense")
    assert [list(each) for each in say(order) if "progress" not in each] == [["error"]]


def say(order: ScreeningTask) -> list[dict[str, Any]]:
    """Every line of a child's answer to an order."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(dump_order(order))
        answer(theirs, order.limits, lambda folder, also_read: None)
        theirs.close()
        said = b"".join(iter(lambda: ours.recv(65_536), b""))
    return [json.loads(line) for line in said.splitlines()]


def test_nothing_is_done_for_somebody_who_is_gone() -> None:
    assert ask(b"") is None


@pytest.mark.parametrize(
    ("problem", "kind", "sentence"),
    [
        (KeyError("canary-code"), "crash", "stopped on an error of Assay's own (KeyError in test_screening_child.py, "),
        (RecursionError("canary-code"), "crash", "stopped on an error of Assay's own (RecursionError in "),
        (MemoryError(), "memory", "ran out of memory (limit 4,096 MB)"),
    ],
)
def test_a_bug_is_told_by_its_place_and_never_by_its_text(
    monkeypatch: pytest.MonkeyPatch, problem: Exception, kind: str, sentence: str
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise problem

    monkeypatch.setattr("bot.sandbox.screening_child.clone_or_fetch", fail)
    said = ask(dump_order(ORDER))
    assert said is not None
    assert said["error"]["kind"] == kind
    assert said["error"]["sentence"].startswith(sentence)
    assert "canary" not in repr(said)


def test_an_address_that_is_none_is_told_in_one_line() -> None:
    said = ask(dump_order(ScreeningTask(url="https://" + "x" * 5_000, folder=Path("/nowhere"), most_bytes=1)))
    assert said == {
        "error": {
            "kind": "unreadable",
            "sentence": "the URL is longer than 2,048 characters: give https://host/owner/name",
        }
    }
