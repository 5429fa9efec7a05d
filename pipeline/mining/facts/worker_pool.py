"""Compute facts in several processes, or in this one if there are few."""

from __future__ import annotations

import contextlib
import gc
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline.git.objects import ObjectReader
from pipeline.label_recipe import LabelRecipe
from pipeline.mining.facts.compute import ChangeRequest, Fact, FactComputer, FactRequest, FunctionsRequest
from pipeline.records import AssayError

# Starting processes costs about as much as computing this many facts.
_MIN_PARALLEL_FACTS = 600
_BATCH = 48
_CACHE_BYTES = 24 << 20  # of objects, in each process
_MAX_MEMORY_BYTES = 2 << 30  # per process; real histories need less than 0.4 GB


class WorkerDied(AssayError):
    """A worker process crashed or was killed, possibly out of memory."""


class WorkerPool:
    """Compute facts of one repository with up to `jobs` processes. Use it as a context manager."""

    def __init__(self, object_dir: Path, recipe: LabelRecipe, jobs: int) -> None:
        self._object_dir = object_dir
        self._recipe = recipe
        self._jobs = jobs
        self._workers: list[_Worker] = []
        self._reader: ObjectReader | None = None
        self._computer: FactComputer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._workers:
            worker.stop(kill=kind is not None)
        self._workers = []
        if self._reader:
            self._reader.close()

    def start(self) -> None:
        """Start the processes early, so that they are ready for the first facts."""
        while self._jobs > 1 and len(self._workers) < self._jobs:
            self._workers.append(_Worker(self._object_dir, self._recipe))

    def compute(self, requests: Iterable[FactRequest]) -> Iterator[tuple[list[FactRequest], list[Fact]]]:
        """Yield the facts of `requests` in batches, in any order. Pass the requests of one path in the order of time.

        Raises WorkerDied if a process dies.
        """
        batches = _batches(requests)
        if self._jobs <= 1 or (not self._workers and sum(map(len, batches)) < _MIN_PARALLEL_FACTS):
            computer = self._own_computer()
            for batch in batches:
                yield batch, [computer.compute(request) for request in batch]
            return
        self.start()
        yield from self._distribute(batches)

    def _distribute(self, batches: list[list[FactRequest]]) -> Iterator[tuple[list[FactRequest], list[Fact]]]:
        waiting = batches[::-1]
        busy: dict[Connection, tuple[_Worker, list[FactRequest]]] = {}
        idle = list(self._workers)
        try:
            while waiting or busy:
                while waiting and idle:
                    worker, batch = idle.pop(), waiting.pop()
                    worker.connection.send(batch)
                    busy[worker.connection] = (worker, batch)
                for ready in wait(list(busy)):
                    assert isinstance(ready, Connection)
                    facts = ready.recv()
                    worker, batch = busy.pop(ready)
                    idle.append(worker)
                    yield batch, facts
        except (EOFError, ConnectionError) as error:
            raise WorkerDied(
                "a worker process died while parsing: the machine is out of memory, or a file needs more than "
                f"{_MAX_MEMORY_BYTES >> 30} GiB to parse; retry with --jobs 1, or with more memory"
            ) from error

    def _own_computer(self) -> FactComputer:
        if self._computer is None:
            self._reader = ObjectReader(self._object_dir, cache_bytes=_CACHE_BYTES)
            self._computer = FactComputer(self._reader, self._recipe)
        return self._computer


class _Worker:
    """A process that computes batches over a pipe of its own, so that killing it cannot block the others."""

    def __init__(self, object_dir: Path, recipe: LabelRecipe) -> None:
        context = get_context("spawn")  # inherits no locks or threads
        self.connection, child_end = context.Pipe()
        self._process = context.Process(target=_work, args=(child_end, object_dir, recipe), daemon=True)
        with _sigint_blocked():
            self._process.start()
        child_end.close()  # so that the pipe closes with the process

    def stop(self, kill: bool) -> None:
        if kill:
            self._process.kill()
        self.connection.close()
        self._process.join()


def _limit_memory() -> None:
    """Limit the memory of this process: a malicious file can make a parser use many gigabytes."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard_limit = resource.getrlimit(resource.RLIMIT_DATA)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (_MAX_MEMORY_BYTES, hard_limit))


@contextlib.contextmanager
def _sigint_blocked() -> Iterator[None]:
    """Start processes with SIGINT blocked: Ctrl-C reaches the whole group, and the parent stops its workers.

    A worker that is still importing would print a traceback. The parent gets the signal afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its first start would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, object_dir: Path, recipe: LabelRecipe) -> None:
    _limit_memory()
    gc.set_threshold(50_000, 20, 50)  # facts have no cycles, so collections find little
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on platforms without pthread_sigmask
    with ObjectReader(object_dir, cache_bytes=_CACHE_BYTES) as reader, contextlib.suppress(EOFError, ConnectionError):
        computer = FactComputer(reader, recipe)
        while True:
            connection.send([computer.compute(request) for request in connection.recv()])


def _batches(requests: Iterable[FactRequest]) -> list[list[FactRequest]]:
    """Group requests by path, so that each file is parsed from its previous version, into batches, largest first."""
    by_path: dict[bytes, list[FactRequest]] = defaultdict(list)
    for request in requests:
        match request:
            case FunctionsRequest():
                by_path[request.path].append(request)
            case ChangeRequest():
                by_path[request.new_path].append(request)
            case _:
                by_path[b"\0" + request.new_tree].append(request)
    batches: list[list[FactRequest]] = []
    batch: list[FactRequest] = []
    for path in sorted(by_path):
        for piece in _pieces(by_path[path]):
            batch.extend(piece)
            if len(batch) >= _BATCH:
                batches.append(batch)
                batch = []
    if batch:
        batches.append(batch)
    return sorted(batches, key=len, reverse=True)


def _pieces(requests: list[FactRequest]) -> Iterator[Sequence[FactRequest]]:
    for start in range(0, len(requests), _BATCH):
        yield requests[start : start + _BATCH]
