"""Facts computed by several processes, or in this one where there is little to do."""

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
from pipeline.mining.facts.compute import ChangeWant, Fact, FactComputer, FunctionsWant, Want
from pipeline.records import AssayError

# Starting processes costs about as much as this many facts.
_WORTH_A_PROCESS = 600
_BATCH = 48
_CACHE_BYTES = 24 << 20  # of objects, in each process
_MOST_MEMORY_BYTES = 2 << 30  # of one process; real histories stay below 0.4 GB


class WorkerDied(AssayError):
    """A worker process was killed (out of memory?) or crashed."""


class WorkerPool:
    """Computes facts for one repository with up to `jobs` processes. Use as a context manager."""

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
            worker.end(at_once=kind is not None)
        self._workers = []
        if self._reader:
            self._reader.close()

    def start(self) -> None:
        """Start the processes now, so that they are up when the first facts are wanted."""
        while self._jobs > 1 and len(self._workers) < self._jobs:
            self._workers.append(_Worker(self._object_dir, self._recipe))

    def compute(self, wants: Iterable[Want]) -> Iterator[tuple[list[Want], list[Fact]]]:
        """Facts for `wants`, batch by batch in no particular order; wants of one path should come in time order.

        Raises WorkerDied where a process was killed.
        """
        batches = _batches(wants)
        if self._jobs <= 1 or (not self._workers and sum(map(len, batches)) < _WORTH_A_PROCESS):
            computer = self._own_computer()
            for batch in batches:
                yield batch, [computer.compute(want) for want in batch]
            return
        self.start()
        yield from self._share_out(batches)

    def _share_out(self, batches: list[list[Want]]) -> Iterator[tuple[list[Want], list[Fact]]]:
        waiting = batches[::-1]
        busy: dict[Connection, tuple[_Worker, list[Want]]] = {}
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
                "a worker process died while parsing: the machine is out of memory, or a file exhausts its "
                f"parser (limit {_MOST_MEMORY_BYTES >> 30} GiB); try again with --jobs 1 and more memory"
            ) from error

    def _own_computer(self) -> FactComputer:
        if self._computer is None:
            self._reader = ObjectReader(self._object_dir, cache_bytes=_CACHE_BYTES)
            self._computer = FactComputer(self._reader, self._recipe)
        return self._computer


class _Worker:
    """A process that answers batches of wants over its own pipe, so that killing it can block nobody."""

    def __init__(self, object_dir: Path, recipe: LabelRecipe) -> None:
        context = get_context("spawn")  # no lock or thread of this process is inherited
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, object_dir, recipe), daemon=True)
        with _deaf_to_ctrl_c():
            self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe

    def end(self, at_once: bool) -> None:
        if at_once:
            self._process.kill()
        self.connection.close()
        self._process.join()


def _limit_memory() -> None:
    """A file made for it takes a parser many gigabytes: that shall cost this process and not the machine."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY_BYTES, most))


@contextlib.contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes started meanwhile never hear Ctrl-C, which reaches the whole group: the parent hears it and ends them.

    A process that is still importing could only answer it with a traceback. This one hears it afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # whose first start would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, object_dir: Path, recipe: LabelRecipe) -> None:
    _limit_memory()
    gc.set_threshold(50_000, 20, 50)  # facts hold no cycles, so there is little to look for
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be held back from the start
    with ObjectReader(object_dir, cache_bytes=_CACHE_BYTES) as reader, contextlib.suppress(EOFError, ConnectionError):
        computer = FactComputer(reader, recipe)
        while True:
            connection.send([computer.compute(want) for want in connection.recv()])


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
