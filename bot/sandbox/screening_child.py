"""One screening in a process of its own: an order comes in, progress and a measurement or the reason of failure go out.

The ranking, where one is asked for, goes out after the measurement: it may fail, take too long or too much, and costs
nothing but itself. Where an order asks for what a fine-tuning run reads, that is gathered into a file instead.

The process has nothing but its socket, so whatever a repository does to it costs this one screening.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self, TypeVar

from bot.disk.private_folders import size_bytes
from bot.peak_memory import own_peak_rss_mb
from bot.sandbox.evidence_file import tracked_of
from bot.sandbox.limits import Limits, too_large_file, too_much_memory
from bot.sandbox.pair_task import Gathered, NotInTheBranch, dump_gathered
from bot.sandbox.screening_task import FailureKind, RecipeName, ScreeningTask, load_order
from pipeline.git.clone import clone_or_fetch, is_damaged, parse_url
from pipeline.git.errors import DiskFull, FileTooLarge, Missing, Refused, TooLarge, Unavailable
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES, MESSAGES_API, LabelRecipe
from pipeline.mining.miner import Miner
from pipeline.ranking.rank import subjects_at_head
from pipeline.ranking.shortlist import Shortlist, dump_shortlist, shortlist_of
from pipeline.records import AssayError
from pipeline.screening.measure import Measured, facts_path, measure_open
from pipeline.screening.measurement import dump_measurement, measurement_of, plain

CLONE = "clone.git"
USER = "x-access-token"  # what GitHub calls whoever comes with a token of an App
REPORT_EVERY_S = 1.0
LONGEST_ORDER_BYTES = 1 << 20

_KINDS: tuple[tuple[type[AssayError], FailureKind], ...] = (
    (Refused, "refused"),
    (Missing, "missing"),
    (Unavailable, "unavailable"),
    (TooLarge, "too_large"),
    (DiskFull, "disk_full"),
    (NotInTheBranch, "moved"),
)

_RECIPES: Final[Mapping[RecipeName, LabelRecipe]] = MappingProxyType(
    {"messages": MESSAGES, "messages+api": MESSAGES_API}
)

T = TypeVar("T")
Tell = Callable[[str], None]
Confine = Callable[[Path, Iterable[Path]], object]


def answer(connection: socket.socket, limits: Limits, confine: Confine) -> None:
    """Do what the socket asks for and say on it what came of it.

    `confine` keeps this process to a folder, and to a few files that it may read, before a byte of the repository is
    seen.
    """
    with connection.makefile("rb") as lines:
        line = lines.readline(LONGEST_ORDER_BYTES)
    if not line:  # whoever wanted it is gone
        return
    order = load_order(line)
    del line
    confine(order.folder, [order.ca_bundle] if order.ca_bundle else [])
    with _Screening(order, _Reporter(connection).tell) as screening, contextlib.suppress(ConnectionError):
        _say(connection, _attempt(screening.gather if order.gather else screening.measure, limits))
        if order.rank and screening.is_measured:
            _say(connection, _attempt_to_rank(screening))


def _say(connection: socket.socket, message: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _attempt(do: Callable[[], dict[str, Any]], limits: Limits) -> dict[str, Any]:
    try:
        return do()
    except MemoryError:
        return _failure("memory", too_much_memory(limits))
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError):
            return _failure("crash", f"cannot be done without a library that is missing ({_place(error)})")
        return _failure("memory", too_much_memory(limits))  # it is installed, and there was no room for it
    except FileTooLarge:
        return _failure("too_large", too_large_file(limits))
    except AssayError as error:
        return _failure(_kind_of(error), str(error))
    except ConnectionError:  # of our own socket: nobody wants the answer any more
        return _failure("interrupted", "nobody is listening")
    except Exception as error:  # a bug: where it is, and not what it says, which may be code or a token
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


def _attempt_to_rank(screening: _Screening) -> dict[str, Any]:
    try:
        return {"shortlist": dump_shortlist(screening.rank())}
    except ConnectionError:
        raise
    except Exception as error:  # whatever it is: what was measured stands
        return {"unranked": plain(f"stopped on an error ({_place(error)})")}


class _Screening:
    """One order. What `measure` opened for mining stays open for `rank`, to the end of the context."""

    def __init__(self, order: ScreeningTask, tell: Tell) -> None:
        self._order = order
        self._tell = tell
        self._open = contextlib.ExitStack()
        self.is_measured = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def measure(self) -> dict[str, Any]:
        """Clone or fetch, mine and measure. Raises AssayError."""
        started_s = time.perf_counter()
        measured = self._on_a_sound_clone(self._measure, lambda found: bool(found.mined.notes))
        self.is_measured = True
        clone_bytes = size_bytes(self._order.folder / CLONE)
        made = measurement_of(measured, time.perf_counter() - started_s, own_peak_rss_mb(), clone_bytes)
        return {"measurement": dump_measurement(made)}

    def gather(self) -> dict[str, Any]:
        """Clone or fetch, and write the file that was asked for. Raises AssayError."""
        # What is read here is trained on for hours: that a stored clone is whole is worth reading it once more.
        return {"gathered": dump_gathered(self._on_a_sound_clone(self._gather, lambda found: True))}

    def _on_a_sound_clone(self, do: Callable[[Path], T], is_doubtful: Callable[[T], bool]) -> T:
        """What a stored clone gives; where it turns out damaged, what one gives that is received once more.

        One that has just been received is not received again: what it lacks, the server lacks.
        """
        was_there = (self._order.folder / CLONE).exists()
        clone = _receive(self._order, self._tell)
        try:
            found = do(clone)
            doubtful = is_doubtful(found)
        except AssayError:
            if not was_there or not is_damaged(clone):
                raise
            doubtful = True
        if doubtful and was_there and is_damaged(clone):
            self._open.close()
            found = do(_receive(self._order, self._tell, afresh=True))
        return found

    def _measure(self, clone: Path) -> Measured:
        self._repository = open_repository(clone)
        store = facts_path(self._order.folder, self._repository)
        recipe = _RECIPES[self._order.recipe]
        tracked = tracked_of(self._order)
        miner = Miner(self._repository, recipe, store, 1, self._progress, self._order.overlay, tracked)
        self._miner = self._open.enter_context(miner)
        return measure_open(miner, recipe, self._order.seen_at)

    def _gather(self, clone: Path) -> Gathered:
        os.putenv("OMP_NUM_THREADS", "1")  # for scikit-learn: a child may start no thread
        from bot.sandbox.pair_child import gather_file  # Parquet and scorers, which nobody needs who only screens

        assert self._order.gather is not None
        recipe = _RECIPES[self._order.recipe]
        return gather_file(open_repository(clone), self._order, self._order.gather, recipe, self._progress)

    def _progress(self, stage: str, done: int, total: int | None) -> None:
        self._tell(f"{stage} {done:,}" + (f" of {total:,}" if total else ""))

    def rank(self) -> Shortlist:
        """The head that was measured, with what mining found out. Raises whatever goes wrong."""
        with self._repository.reader() as reader:

            def read(blob: str) -> bytes:
                return reader.blob(bytes.fromhex(blob), MESSAGES.most_file_bytes)

            return shortlist_of(subjects_at_head(self._miner, read, seen_at=self._order.seen_at))


def _receive(order: ScreeningTask, tell: Tell, *, afresh: bool = False) -> Path:
    return clone_or_fetch(
        parse_url(order.url),
        order.folder / CLONE,
        credentials=(USER, order.token) if order.token else None,
        progress=tell,
        max_bytes=order.most_bytes,
        ca_bundle=order.ca_bundle,
        proxies=_by_scheme(order.proxies),
        from_scratch=afresh,
    )


def _by_scheme(proxies: Mapping[str, str]) -> dict[str, str]:
    """HTTPS_PROXY and the like as "https" and the like."""
    return {name.lower().removesuffix("_proxy"): value for name, value in proxies.items()}


class _Reporter:
    """Passes on what is going on, a line a second at most."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._next_s = 0.0

    def tell(self, line: str) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + REPORT_EVERY_S
            self._connection.sendall(json.dumps({"progress": line[:200]}).encode() + b"\n")
