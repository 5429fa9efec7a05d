"""Facts as bytes and as a file: round trips, and recovery from damage."""

from __future__ import annotations

import hashlib
import os
import stat
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.github.evidence.codec import HEADER, decode_file, encode_file, encode_frame
from bot.github.evidence.evidence_facts import EvidenceFacts, FetchState
from bot.github.evidence.fact_file import MAX_FRAMES, FactFile, evidence_path
from bot.github.evidence.walks import WalkState
from pipeline.mining.issue_links import IssueFact
from tests.rows import each_row

TIMES = st.integers(0, 2**40)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FACTS = st.builds(
    IssueFact,
    number=st.integers(1, 2**31 - 1),
    is_pull_request=st.booleans(),
    state=st.sampled_from(["open", "closed", "merged"]),
    labels=st.lists(TEXT, max_size=20).map(tuple),
    issue_type=st.none() | TEXT,
    opened_at=TIMES,
    closed_at=st.none() | TIMES,
    merge_commit=st.none() | st.binary(min_size=20, max_size=20),
    closes=st.lists(st.integers(1, 2**31 - 1), max_size=20).map(tuple),
)
WALKS = st.builds(WalkState, since=TIMES, until=st.none() | TIMES, cursor=TEXT, floor=TIMES, newest=TIMES)
STATES = st.builds(
    FetchState,
    repository_id=st.integers(0, 2**53),
    issues=WALKS,
    pull_requests=WALKS,
    lacks=st.lists(st.sampled_from(["contents", "issues", "pull_requests"]), unique=True).map(tuple),
    fetched_at=TIMES,
)
ALL = st.builds(
    EvidenceFacts,
    facts=st.lists(FACTS, max_size=30).map(lambda facts: {fact.number: fact for fact in facts}),
    state=STATES,
)


def fact(number: int, *labels: str) -> IssueFact:
    return IssueFact(number, False, "closed", labels, None, 1_700_000_000 + number, None, None)


def pages(count: int) -> tuple[bytes, list[int]]:
    """Return `count` pages of one fact each, and the offset at which each of them ends."""
    raw, chain, ends = HEADER, 0, []
    for number in range(1, count + 1):
        frame, chain = encode_frame([fact(number)], FetchState(7, fetched_at=number), chain)
        raw += frame
        ends.append(len(raw))
    return raw, ends


@given(ALL)
def test_encoded_facts_are_decoded(facts: EvidenceFacts) -> None:
    raw, chain = encode_file(facts)
    found = decode_file(raw)
    assert (found.facts, found.frames, found.chain, found.end) == (facts, 1, chain, len(raw))


@given(st.lists(st.lists(FACTS, max_size=5), min_size=1, max_size=6), STATES)
def test_appended_pages_decode_to_their_union(listed: list[list[IssueFact]], state: FetchState) -> None:
    known: dict[int, IssueFact] = {}
    raw, chain = HEADER, 0
    for at, page in enumerate(listed):
        frame, chain = encode_frame(page, replace(state, fetched_at=at), chain)
        raw += frame
        known.update((each.number, each) for each in page)
    assert decode_file(raw).facts == EvidenceFacts(known, replace(state, fetched_at=len(listed) - 1))


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda raw: HEADER + raw))
def test_any_bytes_decode(raw: bytes) -> None:
    assert decode_file(raw).facts is None


@given(st.data())
@settings(max_examples=200)
def test_everything_after_damage_is_dropped(data: st.DataObject) -> None:
    raw, ends = pages(5)
    at = data.draw(st.integers(0, len(raw) - 1))
    damaged = bytearray(raw)
    damaged[at] ^= 1 << data.draw(st.integers(0, 7))
    whole = 0 if at < len(HEADER) else sum(end <= at for end in ends)
    for found in (decode_file(bytes(damaged)), decode_file(raw[:at])):
        assert found.frames == whole
        assert found.facts == (decode_file(raw[: ends[whole - 1]]).facts if whole else None)


def test_a_frame_that_breaks_the_chain_is_dropped() -> None:
    raw, ends = pages(3)
    without_the_second = raw[: ends[0]] + raw[ends[1] :]
    found = decode_file(without_the_second)
    assert (found.frames, found.end) == (1, ends[0])


@each_row("text", [b"{}", b"[]", b'{"rows":', b"\xff"])
def test_an_intact_frame_with_other_content_is_dropped(text: bytes) -> None:
    packed = zlib.compress(text)
    raw = HEADER + len(packed).to_bytes(4, "big") + zlib.crc32(packed).to_bytes(4, "big") + packed
    assert decode_file(raw).facts is None


def test_a_repositorys_path_ignores_case(tmp_path: Path) -> None:
    place = evidence_path(tmp_path, "github.com", "acme/shop")
    assert place == evidence_path(tmp_path, "GitHub.com", "Acme/Shop")
    assert place != evidence_path(tmp_path, "github.com", "acme/store")
    assert place.parent == tmp_path / "evidence"


class TestFile:
    def test_an_added_page_is_stored(self, tmp_path: Path) -> None:
        store = FactFile(tmp_path / "deep" / "e")
        assert store.load() is None
        store.add([fact(1)], FetchState(7, fetched_at=1))
        store.add([fact(2), fact(1, "bug")], FetchState(7, fetched_at=2))
        found = FactFile(tmp_path / "deep" / "e").load()
        assert found == EvidenceFacts({1: fact(1, "bug"), 2: fact(2)}, FetchState(7, fetched_at=2))

    def test_a_second_fetch_resumes_after_the_first(self, tmp_path: Path) -> None:
        for number in (1, 2, 3):
            store = FactFile(tmp_path / "e")
            store.load()
            store.add([fact(number)], FetchState(7, fetched_at=number))
        found = FactFile(tmp_path / "e").load()
        assert found is not None
        assert set(found.facts) == {1, 2, 3}

    def test_a_file_is_compacted_only_when_it_has_many_pages(self, tmp_path: Path) -> None:
        store, path = FactFile(tmp_path / "e"), tmp_path / "e"
        known: dict[int, IssueFact] = {}
        for number in range(1, MAX_FRAMES + 2):
            store.compact(EvidenceFacts(known, FetchState(7, fetched_at=number - 1)))
            known[number] = fact(number)
            store.add([fact(number)], FetchState(7, fetched_at=number))
        assert decode_file(path.read_bytes()).frames == MAX_FRAMES + 1
        store.compact(EvidenceFacts(known, FetchState(7, fetched_at=99)))
        assert decode_file(path.read_bytes()).frames == 1
        store.add([fact(5_000)], FetchState(7, fetched_at=100))
        found = FactFile(path).load()
        assert found == EvidenceFacts({**known, 5_000: fact(5_000)}, FetchState(7, fetched_at=100))

    def test_a_torn_page_is_dropped_and_overwritten(self, tmp_path: Path) -> None:
        path = tmp_path / "e"
        raw, ends = pages(3)
        path.write_bytes(raw[: ends[1] + 9])
        store = FactFile(path)
        found = store.load()
        assert found is not None
        assert set(found.facts) == {1, 2}
        store.add([fact(9)], FetchState(7, fetched_at=9))
        again = FactFile(path).load()
        assert again is not None
        assert set(again.facts) == {1, 2, 9}

    @pytest.mark.parametrize("raw", [b"", b"junk", HEADER, b"\0" * 100])
    def test_unreadable_files_are_replaced(self, tmp_path: Path, raw: bytes) -> None:
        path = tmp_path / "e"
        path.write_bytes(raw)
        store = FactFile(path)
        assert store.load() is None
        store.add([fact(1)], FetchState(7))
        assert FactFile(path).load() == EvidenceFacts({1: fact(1)}, FetchState(7))

    def test_a_failed_write_invalidates_later_pages(self, tmp_path: Path) -> None:
        path = tmp_path / "e"
        store = FactFile(path)
        store.load()
        store.add([fact(1)], FetchState(7, fetched_at=1))
        path.rename(tmp_path / "away")
        store.add([fact(2)], FetchState(7, fetched_at=2))
        (tmp_path / "away").rename(path)
        store.add([fact(3)], FetchState(7, fetched_at=3))
        assert FactFile(path).load() == EvidenceFacts({1: fact(1)}, FetchState(7, fetched_at=1))
        whole = EvidenceFacts({n: fact(n) for n in (1, 2, 3)}, FetchState(7, fetched_at=3))
        store.compact(whole)
        assert FactFile(path).load() == whole

    def test_concurrent_writers_do_not_corrupt_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "e"
        one, other = FactFile(path), FactFile(path)
        one.load(), other.load()
        one.add([fact(1)], FetchState(7, fetched_at=1))
        other.add([fact(11)], FetchState(7, fetched_at=11))
        one.add([fact(2)], FetchState(7, fetched_at=2))
        assert FactFile(path).load() == EvidenceFacts({11: fact(11)}, FetchState(7, fetched_at=11))

    def test_the_file_is_private_and_leaves_no_temporary_files(self, tmp_path: Path) -> None:
        folder = tmp_path / "evidence"
        store = FactFile(folder / "e")
        store.add([fact(1)], FetchState(7))
        store.add([fact(2)], FetchState(7))
        assert stat.S_IMODE((folder / "e").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert os.listdir(folder) == ["e"]

    def test_an_unwritable_folder_does_not_fail_the_fetch(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        store = FactFile(tmp_path / "file" / "e")
        assert store.load() is None
        store.add([fact(1)], FetchState(7))
        store.compact(EvidenceFacts({1: fact(1)}, FetchState(7)))

    def test_sixty_thousand_facts_take_three_megabytes_and_a_second(self, tmp_path: Path) -> None:
        names = ("bug", "area: storage", "priority: high", "good first issue", "C-bug")
        facts = {}
        for number in range(1, 60_001):
            is_pull_request = number % 3 == 0
            seed = zlib.crc32(number.to_bytes(4, "big"))
            opened_at = 1_500_000_000 + number * 3_000 + seed % 3_000
            facts[number] = IssueFact(
                number=number,
                is_pull_request=is_pull_request,
                state="merged" if is_pull_request else "closed",
                labels=tuple(names[(seed >> at) % 5] for at in range(seed % 4)),
                issue_type=None,
                opened_at=opened_at,
                closed_at=opened_at + seed % 5_000_000,
                merge_commit=hashlib.sha1(number.to_bytes(4, "big")).digest() if is_pull_request else None,
                closes=(number - 1,) if is_pull_request else (),
            )
        whole = EvidenceFacts(facts, FetchState(7, fetched_at=1))
        raw, _ = encode_file(whole)
        (tmp_path / "e").write_bytes(raw)
        started = time.process_time()
        found = FactFile(tmp_path / "e").load()
        took = time.process_time() - started
        assert found == whole
        assert len(raw) < 3_000_000, len(raw)
        assert took < 1.0, took
