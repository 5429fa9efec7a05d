"""The memory of parsing thousands of versions in one process does not accumulate."""

from __future__ import annotations

import resource
from pathlib import Path

from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import language_of
from pipeline.syntax.parser import parse_file
from tests.builders.code import module

LANGUAGE = language_of(b"a.py")
KIB = 1 << 10


def resident_kib() -> int:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() // KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_parsing_many_versions_of_a_file_leaks_no_memory() -> None:
    """Each version is 100 KB of source: if the parser kept them, as one release does, 500 would take 50 MB."""
    assert LANGUAGE is not None
    text = module(*["1"] * 1300).encode()
    previous = parse_file(LANGUAGE, text)
    for number in range(20):
        previous = parse_file(LANGUAGE, text + b"# %d\n" % number)
    before = resident_kib()
    for number in range(500):
        data = text + b"# %d\n" % number
        previous = parse_file(LANGUAGE, data, previous, diff_hunks(previous.data, data))
    assert resident_kib() - before < 20 * KIB
    assert len(text) > 90_000
