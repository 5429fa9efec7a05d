"""The fact file when something else is at its path. Its content is tested with the fetch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.github.evidence.fact_file import FactFile


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_pipes_and_links_are_neither_opened_nor_followed(tmp_path: Path, kind: str) -> None:
    path, elsewhere = tmp_path / "evidence.assay", tmp_path / "elsewhere"
    elsewhere.write_bytes(b"another's")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(elsewhere)
    else:
        path.mkdir()
    assert FactFile(path).load() is None
    assert elsewhere.read_bytes() == b"another's"
