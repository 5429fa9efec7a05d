import errno
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.calibration.ledger import (
    LedgerError,
    amend,
    calibration_folder,
    load_calibration_set,
    open_ledger,
    read_entries,
    record_prediction,
)
from pipeline.calibration.ledger_entries import Adopted, Excluded, Included, Moved, Prediction, Recorded, render_entry
from pipeline.calibration.threshold import fit
from pipeline.json_fields import MalformedError
from tests.builders.outcomes import RECIPE, outcome, outcomes
from tests.builders.predictions import AT, prediction
from tests.builders.screenings import screening
from tests.builders.seeds import seed

SEED = seed()
FIRST, SECOND, THIRD = Excluded(AT, "a/a", "first"), Included(AT, "a/a"), prediction("b/b")


def fill(folder: Path, *entries) -> Path:
    with open_ledger(folder) as opened:
        opened.append(*entries)
    return folder / "ledger.jsonl"


def test_entries_are_read_back_in_order(tmp_path: Path) -> None:
    fill(tmp_path / "deep" / "down", FIRST, SECOND)
    fill(tmp_path / "deep" / "down", THIRD)
    assert read_entries(tmp_path / "deep" / "down") == (FIRST, SECOND, THIRD)


def test_reading_writes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    assert read_entries(folder) == ()
    assert load_calibration_set(folder, SEED).calibrate().threshold == SEED.threshold
    assert not folder.exists()


def test_adding_nothing_leaves_no_file(tmp_path: Path) -> None:
    fill(tmp_path)
    assert not (tmp_path / "ledger.jsonl").exists()


def test_the_file_is_append_only(tmp_path: Path) -> None:
    path = fill(tmp_path, FIRST)
    before = path.read_bytes()
    fill(tmp_path, SECOND)
    assert path.read_bytes() == before + render_entry(SECOND)


def test_the_folder_is_that_of_the_data_directory(tmp_path: Path) -> None:
    assert calibration_folder(tmp_path) == tmp_path / "calibration"


WHOLE = render_entry(FIRST) + render_entry(SECOND)
TORN = render_entry(THIRD)


def test_an_incomplete_last_line_is_skipped_and_truncated_by_the_next_writer(
    tmp_path: Path, subtests: pytest.Subtests
) -> None:
    for kept in (0, 1, 2, 20, 100, len(TORN) - 3, len(TORN) - 2):
        with subtests.test(kept=kept):
            path = tmp_path / str(kept) / "ledger.jsonl"
            path.parent.mkdir()
            path.write_bytes(WHOLE + TORN[:kept])
            assert read_entries(path.parent) == (FIRST, SECOND)
            fill(path.parent, FIRST)
            assert path.read_bytes() == WHOLE + render_entry(FIRST)


def test_a_last_line_that_lacks_only_its_newline_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(WHOLE + TORN.rstrip(b"\n"))
    assert read_entries(tmp_path) == (FIRST, SECOND, THIRD)
    fill(tmp_path, FIRST)
    assert path.read_bytes() == WHOLE + TORN + render_entry(FIRST)


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"{}", b"\xff\xfe", b'{"kind":'])
def test_garbage_without_a_newline_is_an_incomplete_line(tmp_path: Path, tail: bytes) -> None:
    (tmp_path / "ledger.jsonl").write_bytes(WHOLE + tail)
    assert read_entries(tmp_path) == (FIRST, SECOND)


@pytest.mark.parametrize(
    "damage", [b"rubbish\n", b"{}\n", b"\0\0\0\n", b'{"kind":"exclude"}\n', b"[" * 100_000 + b"\n"]
)
def test_damage_before_the_last_line_is_an_error_that_names_the_line(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(render_entry(FIRST) + damage + render_entry(SECOND))
    with pytest.raises(LedgerError, match=r"line 2.*restore it from a backup, or move it away"):
        read_entries(tmp_path)
    with pytest.raises(LedgerError, match="line 2"):
        fill(tmp_path, THIRD)
    assert path.read_bytes() == render_entry(FIRST) + damage + render_entry(SECOND)


def test_a_full_disk_leaves_the_ledger_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fill(tmp_path, FIRST)
    before, real_write = path.read_bytes(), os.write

    def write_some(descriptor: int, data: memoryview) -> int:
        if len(data) < 60:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, data[:20])

    with monkeypatch.context() as patched:
        patched.setattr("os.write", write_some)
        with pytest.raises(OSError, match="No space left"):
            fill(tmp_path, THIRD)
    assert path.read_bytes() == before
    fill(tmp_path, SECOND)
    assert read_entries(tmp_path) == (FIRST, SECOND)


def test_an_entry_that_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match=r"a new entry\.repo: expected printable text"):
        fill(tmp_path, FIRST, Excluded(AT, "a/\x1b[2J", "x"))
    assert read_entries(tmp_path) == ()


def test_a_folder_that_cannot_be_created_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LedgerError, match="set ASSAY_DATA_DIR to another folder"), open_ledger(tmp_path / "file" / "x"):
        pass
    with pytest.raises(LedgerError, match="cannot read"):
        read_entries(tmp_path / "file" / "x")


def test_concurrent_writers_lose_nothing(tmp_path: Path) -> None:
    def add(name: str) -> None:
        for number in range(5):
            with open_ledger(tmp_path) as opened:
                opened.append(Excluded(AT, f"{name}/{number}", str(len(opened.entries))))

    threads = [threading.Thread(target=add, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_entries(tmp_path)
    # Each saw all that came before it: the lock spans reading and writing.
    assert [entry.reason for entry in found if isinstance(entry, Excluded)] == [str(n) for n in range(20)]


def test_a_prediction_is_recorded_once_until_something_changes(tmp_path: Path) -> None:
    calibration = fit(outcomes("win a .06, loss b .02"), label_recipe_id=RECIPE)
    shown = screening(label_recipe_id=RECIPE)
    record_prediction(tmp_path, shown, calibration, "2026-03-01")
    record_prediction(tmp_path, shown, calibration, "2026-03-02")
    assert len(read_entries(tmp_path)) == 1
    moved = fit(outcomes("win a .06, loss b .03"), label_recipe_id=RECIPE)
    record_prediction(tmp_path, shown, moved, "2026-03-03")
    record_prediction(tmp_path, shown, calibration, "2026-03-04")
    assert [e.at for e in read_entries(tmp_path) if isinstance(e, Prediction)] == [
        "2026-03-01",
        "2026-03-03",
        "2026-03-04",
    ]


def test_the_first_change_pins_the_recipe_and_every_change_records_the_threshold(tmp_path: Path) -> None:
    _, changed = amend(tmp_path, SEED, AT, lambda known: (Recorded(AT, (outcome("loss", "a", 0.05),)),))
    assert (changed.before.threshold.value, changed.after.threshold.value) == pytest.approx((0.045, 0.055))
    amend(tmp_path, SEED, AT, lambda known: (Excluded(AT, "a/a", "x"),))
    assert [type(entry) for entry in read_entries(tmp_path)] == [Adopted, Recorded, Moved, Excluded, Moved]
    thresholds = [entry.threshold for entry in read_entries(tmp_path) if isinstance(entry, Moved)]
    assert thresholds == [pytest.approx(0.055), pytest.approx(0.045)]


def test_a_decision_to_change_nothing_writes_nothing(tmp_path: Path) -> None:
    _, changed = amend(tmp_path, SEED, AT, lambda known: ())
    assert read_entries(tmp_path) == ()
    assert changed.before.threshold == changed.after.threshold


def test_a_rejected_change_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(MalformedError):
        amend(tmp_path, SEED, AT, lambda known: (Recorded(AT, (outcome("loss", "a\n", 0.05),)),))
    assert read_entries(tmp_path) == ()


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_arbitrary_bytes_are_read_or_rejected(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    pieces = st.sampled_from([WHOLE, TORN, b"\n", b"{", b"}", b"\0"]) | st.binary(max_size=10)
    (folder / "ledger.jsonl").write_bytes(b"".join(data.draw(st.lists(pieces, max_size=6))))
    try:
        found = read_entries(folder)
    except LedgerError as refusal:
        said = str(refusal)
    else:
        said = ""
        fill(folder, FIRST)
        assert read_entries(folder) == (*found, FIRST)
    assert "\n" not in said
