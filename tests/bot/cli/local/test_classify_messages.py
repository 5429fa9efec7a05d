"""`assay labels classify`: what the rules say of messages, from a file or stdin, and of lines that make no sense."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.cli.local.classify_messages import MAX_LINE_BYTES
from bot.cli.main import run
from pipeline.label_recipe import MESSAGES, MESSAGES_1
from tests.rows import each_row

LINES: list[dict[str, Any]] = [
    {"sha": "a1", "message": "fix: x", "label": 1},
    {"sha": "b2", "message": "Show x"},
    {"sha": "c3", "message": "Fix typo\n\nin x"},
    {"sha": "d4", "message": "NPE in x", "project": ["x"]},
]


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_each_line_is_answered_with_its_evidence_or_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "commits.jsonl", LINES)
    assert run(["labels", "classify", str(path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == {
        "commits": [
            {"sha": "a1", "fix": True, "evidence": "prefix", "weight": 0.7, "not_a_fix": None},
            {"sha": "b2", "fix": False, "evidence": None, "weight": None, "not_a_fix": None},
            {"sha": "c3", "fix": False, "evidence": "keyword", "weight": 0.7, "not_a_fix": "typo"},
            {"sha": "d4", "fix": True, "evidence": "keyword", "weight": 0.7, "not_a_fix": None},
        ],
        "label_recipe": MESSAGES.name,
        "label_recipe_id": MESSAGES.id,
    }


def test_a_recipe_is_chosen_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "commits.jsonl", LINES)
    assert run(["labels", "classify", str(path), "--recipe", MESSAGES_1.name, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [row["sha"] for row in result["commits"] if row["fix"]] == ["a1"]
    assert (result["label_recipe"], result["label_recipe_id"]) == (MESSAGES_1.name, MESSAGES_1.id)
    assert run(["labels", "classify", str(path), "--recipe", "x"]) == 2
    assert MESSAGES_1.name in capsys.readouterr().err


def test_a_summary_counts_by_evidence_and_by_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["labels", "classify", str(write(tmp_path / "commits.jsonl", LINES))]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"4 messages by the label recipe {MESSAGES.name} ({MESSAGES.id}): 2 claim a fix (50 %)",
        "  1 by keyword",
        "  1 by prefix",
        "  1 mention a fix but are no fix: typo",
    ]


def test_stdin_is_read_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = "\ufeff" + json.dumps(LINES[0]) + "\r\n\n" + json.dumps({"sha": "e5", "message": "修复\ud800 x"})
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run(["labels", "classify", "-", "--json"]) == 0
    assert [row["fix"] for row in json.loads(capsys.readouterr().out)["commits"]] == [True, True]


def test_no_line_is_no_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    assert run(["labels", "classify", str(tmp_path / "empty.jsonl")]) == 0
    assert capsys.readouterr().out.startswith("0 messages")


@each_row(
    ("line", "told"),
    [
        (b"{", "line 2 is no JSON"),
        (b"[1]", 'line 2 must be an object with "sha" and "message"'),
        (b'{"sha": "a"}', 'line 2 has no "message"'),
        (b'{"message": "a"}', 'line 2 has no "sha"'),
        (b'{"sha": 1, "message": "a"}', 'line 2 has a "sha" that is no text'),
        (b'{"sha": "a", "message": null}', 'line 2 has a "message" that is no text'),
        (b"\xff\xfe", "line 2 is no JSON"),
        (b"[" * 100_000, "line 2 is no JSON"),
        (b" " * (MAX_LINE_BYTES + 1), "line 2 has more than 4 MB"),
    ],
)
def test_a_line_that_makes_no_sense_is_named(
    line: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "commits.jsonl"
    path.write_bytes(json.dumps(LINES[0]).encode() + b"\n" + line)
    assert run(["labels", "classify", str(path)]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""


def test_a_missing_file_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["labels", "classify", str(tmp_path / "none.jsonl")]) == 2
    assert "cannot read" in capsys.readouterr().err
    assert run(["labels", "classify", str(tmp_path)]) == 2
