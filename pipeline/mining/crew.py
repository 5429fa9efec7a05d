"""Facts computed by several processes, or in this one where there is little to do."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.mining.facts import ChangeWant, Fact, FactComputer, FunctionsWant, Want
from pipeline.mining.objects import ObjectReader
from pipeline.recipe import LabelRecipe
from pipeline.records import AssayError

# Starting a process costs about as much as this many facts.
_WORTH_A_PROCESS = 150
_BATCH = 48


class WorkerDied(AssayError):
    """A worker process was killed (out of memory?) or crashed."""


class Crew:
    """Computes facts for one repository with up to `jobs` processes. Use as a context manager."""

    def __init__(self, object_dir: Path, recipe: LabelRecipe, jobs: int) -> None:
        self._object_dir = object_dir
        self._recipe = recipe
        self._jobs = jobs
        self._pool: ProcessPoolExecutor | None = None
        self._reader: ObjectReader | None = None
        self._computer: FactComputer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._pool:
            if kind is not None:
                for process in list((self._pool._processes or {}).values()):
                    process.terminate()
            self._pool.shutdown(wait=True, cancel_futures=True)
        if self._reader:
            self._reader.close()

    def start(self) -> None:
        """Start the processes now, so that they are up when the first facts are wanted."""
        if self._jobs > 1 and self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._jobs,
                mp_context=get_context("spawn"),  # no lock or thread of this process is inherited
                initializer=_start_worker,
                initargs=(self._object_dir, self._recipe),
            )
            for _ in range(self._jobs):
                self._pool.submit(_warm)

    def compute(self, wants: Iterable[Want]) -> Iterator[tuple[list[Want], list[Fact]]]:
        """Facts for `wants`, batch by batch in no particular order; wants of one path should come in time order."""
        batches = _batches(wants)
        if self._jobs <= 1 or (self._pool is None and sum(map(len, batches)) < _WORTH_A_PROCESS):
            computer = self._own_computer()
            for batch in batches:
                yield batch, [computer.compute(want) for want in batch]
            return
        self.start()
        assert self._pool is not None
        try:
            futures = {self._pool.submit(_compute, batch): batch for batch in batches}
            for future in as_completed(futures):
                yield futures.pop(future), future.result()
        except BrokenProcessPool as error:
            raise WorkerDied("a worker process died while parsing (out of memory?); try again with --jobs 1") from error

    def _own_computer(self) -> FactComputer:
        if self._computer is None:
            self._reader = ObjectReader(self._object_dir)
            self._computer = FactComputer(self._reader, self._recipe)
        return self._computer


def _batches(wants: Iterable[Want]) -> list[list[Want]]:
    """Batches of wants that share paths, so that each file is parsed from its last version; the largest first."""
    by_path: dict[bytes, list[Want]] = defaultdict(list)
    for want in wants:
        match want:
            case FunctionsWant():
                by_path[want.path].append(want)
            case ChangeWant():
                by_path[want.new_path].append(want)
            case _:
                by_path[b"\0" + want.new_tree].append(want)
    batches: list[list[Want]] = []
    batch: list[Want] = []
    for path in sorted(by_path):
        for piece in _pieces(by_path[path]):
            batch.extend(piece)
            if len(batch) >= _BATCH:
                batches.append(batch)
                batch = []
    if batch:
        batches.append(batch)
    return sorted(batches, key=len, reverse=True)


def _pieces(wants: list[Want]) -> Iterator[Sequence[Want]]:
    for start in range(0, len(wants), _BATCH):
        yield wants[start : start + _BATCH]


_worker: FactComputer | None = None


def _start_worker(object_dir: Path, recipe: LabelRecipe) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    _worker = FactComputer(ObjectReader(object_dir), recipe)


def _warm() -> None:
    """Nothing: makes the pool start a process."""


def _compute(wants: list[Want]) -> list[Fact]:
    assert _worker is not None
    return [_worker.compute(want) for want in wants]
