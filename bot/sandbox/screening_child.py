"""One screening in a child process: a task comes in, progress and a measurement or a failure go out.

The ranking, if requested, is sent after the measurement, so a failure of it loses nothing else. For a pair task the
child writes the input file of a fine-tuning run instead.

The process has nothing but its socket: whatever a repository does to it affects this one screening.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from bot.disk.private_folders import size_bytes
from bot.peak_memory import own_peak_rss_mb
from bot.sandbox.evidence_file import tracked_of
from bot.sandbox.limits import Limits, too_large_file, too_much_memory
from bot.sandbox.pair_task import CommitNotOnBranch, PairResult, dump_pair_result
from bot.sandbox.screening_task import DAMAGED, FailureKind, ScreeningTask, load_task
from pipeline.git.clone import clone_or_fetch, is_damaged, parse_url
from pipeline.git.errors import DiskFull, FileTooLarge, Missing, Refused, TooLarge, Unavailable
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES, LabelRecipe, recipe_named
from pipeline.mining.miner import Miner
from pipeline.ranking.rank import subjects_at_head
from pipeline.ranking.shortlist import Shortlist, dump_shortlist, shortlist_of
from pipeline.records import AssayError
from pipeline.screening.measure import Measured, facts_path, measure_open
from pipeline.screening.measurement import dump_measurement, measurement_of, plain

CLONE = "clone.git"
USER = "x-access-token"  # GitHub's user name for an App's token
REPORT_EVERY_S = 1.0
MAX_TASK_BYTES = 1 << 20


class CloneDamaged(AssayError):
    """A stored clone has changed since it was received."""


_KINDS: tuple[tuple[type[AssayError], FailureKind], ...] = (
    (Refused, "refused"),
    (Missing, "missing"),
    (Unavailable, "unavailable"),
    (TooLarge, "too_large"),
    (DiskFull, "disk_full"),
    (CommitNotOnBranch, "moved"),
    (CloneDamaged, "interrupted"),
)

T = TypeVar("T")
Report = Callable[[str], None]
Confine = Callable[[Path, Iterable[Path]], object]


@dataclass(frozen=True)
class Network:
    """How this process gives up the network: all but some ports before it clones, and the rest before it parses."""

    reach_only: Callable[[Iterable[int]], object] = lambda ports: None
    leave: Callable[[], object] = lambda: None


KEEP_NETWORK: Final = Network()


def run_task(connection: socket.socket, limits: Limits, confine: Confine, network: Network = KEEP_NETWORK) -> None:
    """Read a task from the socket, run it and send the replies.

    `confine(folder, readable files)` restricts this process before it reads a byte of the repository.
    """
    with connection.makefile("rb") as lines:
        line = lines.readline(MAX_TASK_BYTES)
    if not line:  # the worker has hung up
        return
    task = load_task(line)
    del line
    confine(task.folder, [task.ca_bundle] if task.ca_bundle else [])
    network.reach_only(task.ports)
    with _Screening(task, _Reporter(connection).report, network) as screening, contextlib.suppress(ConnectionError):
        _send(connection, _result_or_error(screening.prepare_pairs if task.pair_task else screening.measure, limits))
        if task.rank and screening.is_measured:
            _send(connection, _ranking_or_reason(screening))


def _send(connection: socket.socket, message: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _result_or_error(work: Callable[[], dict[str, Any]], limits: Limits) -> dict[str, Any]:
    try:
        return work()
    except MemoryError:
        return _failure("memory", too_much_memory(limits))
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError):
            return _failure("crash", f"cannot be done without a library that is missing ({_place(error)})")
        return _failure("memory", too_much_memory(limits))  # it is installed, but loading it needs more memory
    except FileTooLarge:
        return _failure("too_large", too_large_file(limits))
    except AssayError as error:
        return _failure(_kind_of(error), str(error))
    except ConnectionError:  # of our own socket: the worker has hung up
        return _failure("interrupted", "the worker is gone")
    except Exception as error:  # a bug: report its location only, since its text may hold code or a token
        return _failure("crash", f"stopped on an error of Assay's own ({_place(error)})")


def _kind_of(error: AssayError) -> FailureKind:
    return next((kind for problem, kind in _KINDS if isinstance(error, problem)), "unreadable")


def _failure(kind: FailureKind, sentence: str) -> dict[str, Any]:
    return {"error": {"kind": kind, "sentence": plain(sentence)}}


def _place(error: BaseException) -> str:
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = f" in {Path(at.tb_frame.f_code.co_filename).name}, line {at.tb_lineno}" if at else ""
    return type(error).__name__ + place


def _ranking_or_reason(screening: _Screening) -> dict[str, Any]:
    try:
        return {"shortlist": dump_shortlist(screening.rank())}
    except ConnectionError:
        raise
    except Exception as error:  # the measurement stands, whatever failed
        return {"unranked": plain(f"stopped on an error ({_place(error)})")}


class _Screening:
    """One task. The miner that `measure` opens stays open for `rank`, until the context ends."""

    def __init__(self, task: ScreeningTask, report: Report, network: Network) -> None:
        self._task = task
        self._network = network
        self._report = report
        self._recipe = _recipe_of(task)
        self._open = contextlib.ExitStack()
        self.is_measured = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def measure(self) -> dict[str, Any]:
        """Clone or fetch, mine and measure. Raises AssayError."""
        started_s = time.perf_counter()
        measured = self._with_sound_clone(self._measure, lambda measured: bool(measured.mined.notes))
        self.is_measured = True
        clone_bytes = size_bytes(self._task.folder / CLONE)
        measurement = measurement_of(measured, time.perf_counter() - started_s, own_peak_rss_mb(), clone_bytes)
        return {"measurement": dump_measurement(measurement)}

    def prepare_pairs(self) -> dict[str, Any]:
        """Clone or fetch, and write the file of the pair task. Raises AssayError."""
        # The file is trained on for hours, so always verify a stored clone, which reads all of it.
        return {"pair_result": dump_pair_result(self._with_sound_clone(self._write_pair_file, lambda result: True))}

    def _with_sound_clone(self, work: Callable[[Path], T], is_doubtful: Callable[[T], bool]) -> T:
        """Return `work(clone)`, done without network. Raises CloneDamaged if it was stored and turns out to be damaged.

        A fresh clone is never damaged: what it lacks, the server lacks.
        """
        was_stored = (self._task.folder / CLONE).exists() and not self._task.from_scratch
        clone = _clone(self._task, self._report)
        self._network.leave()
        try:
            result = work(clone)
            doubtful = is_doubtful(result)
        except AssayError:
            if not was_stored or not is_damaged(clone):
                raise
            doubtful = True
        if doubtful and was_stored and is_damaged(clone):
            raise CloneDamaged(DAMAGED)
        return result

    def _measure(self, clone: Path) -> Measured:
        self._repository = open_repository(clone)
        store = facts_path(self._task.folder, self._repository)
        tracked = tracked_of(self._task)
        miner = Miner(self._repository, self._recipe, store, 1, self._progress, self._task.overlay, tracked)
        self._miner = self._open.enter_context(miner)
        return measure_open(miner, self._recipe, self._task.seen_at)

    def _write_pair_file(self, clone: Path) -> PairResult:
        os.putenv("OMP_NUM_THREADS", "1")  # for scikit-learn: a child may not start threads
        from bot.sandbox.pair_child import write_pair_file  # loads Parquet and scorers, which screenings do without

        assert self._task.pair_task is not None
        pair_task = self._task.pair_task
        return write_pair_file(open_repository(clone), self._task, pair_task, self._recipe, self._progress)

    def _progress(self, stage: str, done: int, total: int | None) -> None:
        self._report(f"{stage} {done:,}" + (f" of {total:,}" if total else ""))

    def rank(self) -> Shortlist:
        """Rank the functions and files of the measured head. May raise anything."""
        with self._repository.reader() as reader:

            def read(blob: str) -> bytes:
                return reader.blob(bytes.fromhex(blob), MESSAGES.most_file_bytes)

            return shortlist_of(subjects_at_head(self._miner, read, seen_at=self._task.seen_at))


def _recipe_of(task: ScreeningTask) -> LabelRecipe:
    recipe = recipe_named(task.recipe)
    assert recipe is not None, "load_task has checked the name"
    return recipe


def _clone(task: ScreeningTask, report: Report) -> Path:
    return clone_or_fetch(
        parse_url(task.url),
        task.folder / CLONE,
        credentials=(USER, task.token) if task.token else None,
        progress=report,
        max_bytes=task.max_pack_bytes,
        ca_bundle=task.ca_bundle,
        proxies=_by_scheme(task.proxies),
        from_scratch=task.from_scratch,
    )


def _by_scheme(proxies: Mapping[str, str]) -> dict[str, str]:
    """Map names such as HTTPS_PROXY to schemes such as "https"."""
    return {name.lower().removesuffix("_proxy"): value for name, value in proxies.items()}


class _Reporter:
    """Sends progress, at most one line a second."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._next_s = 0.0

    def report(self, line: str) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + REPORT_EVERY_S
            self._connection.sendall(json.dumps({"progress": line[:200]}).encode() + b"\n")
