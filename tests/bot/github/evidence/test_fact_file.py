"""The file of facts: what lies in its place and is none does no harm. Its content is tested with the fetch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.github.evidence.fact_file import FactFile


@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_what_is_no_file_is_neither_waited_for_nor_followed(tmp_path: Path, kind: str) -> None:
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
