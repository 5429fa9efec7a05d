"""Screenings in child processes: what comes back, what a child can see, and what each of its ways to end costs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest

from bot.sandbox.child_replies import MOST_ANSWER_BYTES, converse, hear_ranking
from bot.sandbox.limits import Ending
from bot.sandbox.supervisor import Screened, ScreeningFailed, ScreeningTask, Supervisor
from pipeline.git.clone import is_damaged
from pipeline.ranking.shortlist import Place, Shortlist, dump_shortlist
from tests.bot.messages.screenings import MEASUREMENT
from tests.builders.broken import HEALTHY_DENSITY, healthy
from tests.builders.history import History
from tests.simulator.git_server import GitServer, serve_git, stall, status

pytestmark = pytest.mark.faults

TOKEN = "ghs_canary-of-the-token"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def supervisor(loop: asyncio.Runner) -> Iterator[Supervisor]:
    supervisor = Supervisor()
    loop.run(supervisor.start())
    yield supervisor
    loop.run(supervisor.close())


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return healthy().write(tmp_path_factory.mktemp("shelf") / "code.git")


@pytest.fixture
def server(tmp_path: Path, shelf: Path) -> Iterator[GitServer]:
    """Serves the healthy history as ada/code.git, to those with the token."""
    shutil.copytree(shelf, tmp_path / "root" / "ada" / "code.git")
    with serve_git(tmp_path / "root", TOKEN) as server:
        yield server


@pytest.fixture
def order(tmp_path: Path, server: GitServer) -> Callable[..., ScreeningTask]:
    def make(name: str = "ada/code", **changes: Any) -> ScreeningTask:
        usual: dict[str, Any] = {
            "url": f"{server}/{name}.git",
            "folder": tmp_path / "clones" / name,
            "most_bytes": 1 << 30,
            "token": TOKEN,
            "seen_at": 2_000_000_000,
        }
        return ScreeningTask(**usual | changes)

    return make


Order = Callable[..., ScreeningTask]


def failure(loop: asyncio.Runner, screening: Awaitable[Screened]) -> tuple[str, str]:
    async def fail() -> tuple[str, str]:
        with pytest.raises(ScreeningFailed) as caught:
            await screening
        assert caught.value.sentence.isprintable()
        return caught.value.kind, caught.value.sentence

    return loop.run(fail())


async def children_of(supervisor: Supervisor, amount: int = 1) -> list[int]:
    """The pids of the supervisor's children, once there are so many that work on something."""
    for _ in range(500):
        found = [child.pid for child in psutil.Process(supervisor.pid).children(recursive=True)]
        if len(found) == amount:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"{amount} children were expected")


async def seen_to_ask(server: GitServer) -> None:
    for _ in range(500):
        if server.requests:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was asked for")


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def until_gone(*pids: int) -> None:
    for _ in range(500):
        if all(map(is_gone, pids)):
            return
        time.sleep(0.01)
    raise AssertionError(f"{pids} live on")


# What comes back


def test_a_repository_is_cloned_and_measured_then_fetched_and_measured(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, server: GitServer
) -> None:
    said: list[str] = []
    first = loop.run(supervisor.screen(order(), said.append)).measurement
    assert first.density is not None
    assert (first.density.value, first.repo, first.commits) == (HEALTHY_DENSITY, "ada/code", len(healthy().commits))
    assert (first.notes, first.windows.as_of) == ((), 1_677_760_000)
    assert first.clone_bytes == sum(f.stat().st_size for f in order().folder.glob("clone.git/**/*") if f.is_file())
    assert first.seconds > 0
    assert first.peak_rss_mb > 10
    assert said[0] == "indexing 0 %"
    server.requests.clear()
    again = loop.run(supervisor.screen(order())).measurement
    assert again.density == first.density
    assert len(server.requests) == 2  # what the server can, and its head


def test_no_window_ends_after_the_head_was_first_seen(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order
) -> None:
    seen_at = 1_677_760_000 - 100
    measured = loop.run(supervisor.screen(order(seen_at=seen_at))).measurement
    assert measured.windows.as_of == seen_at
    assert measured.head_sha == healthy_head(order)
    assert loop.run(supervisor.screen(order(seen_at=seen_at + 50))).measurement.windows.as_of == seen_at


def healthy_head(order: Order) -> str:
    folder = order().folder / "clone.git"
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True).stdout.strip()


def test_a_rewritten_history_is_followed(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, tmp_path: Path
) -> None:
    loop.run(supervisor.screen(order()))
    shutil.rmtree(tmp_path / "root" / "ada" / "code.git")
    other = healthy(("more.py", "def more():\n    a = 1\n    return a\n", None, "100644"))
    other.write(tmp_path / "root" / "ada" / "code.git")
    measured = loop.run(supervisor.screen(order())).measurement
    assert measured.head_sha == other.ids[other.tips["main"]]
    assert measured.density is not None
    assert measured.density.pairs == 21


@pytest.mark.parametrize("at", [0.1, 0.9])
def test_a_stored_clone_with_a_flipped_bit_is_received_once_more(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, at: float
) -> None:
    whole = loop.run(supervisor.screen(order())).measurement
    (pack,) = order().folder.glob("clone.git/objects/pack/*.pack")
    content = bytearray(pack.read_bytes())
    for index in range(int(at * len(content)), int(at * len(content)) + 60):
        content[index] ^= 0x55
    pack.chmod(0o644)
    pack.write_bytes(content)
    shutil.rmtree(order().folder / "facts")
    again = loop.run(supervisor.screen(order())).measurement
    assert (again.density, again.notes) == (whole.density, ())
    assert not is_damaged(order().folder / "clone.git")


def test_twenty_at_once_are_all_answered(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, server: GitServer, tmp_path: Path
) -> None:
    async def all_at_once() -> list[Screened]:
        orders = [order(folder=tmp_path / "clones" / str(number)) for number in range(20)]
        return await asyncio.gather(*map(supervisor.screen, orders))

    measured = loop.run(all_at_once())
    assert {m.density and m.density.value for m in (screened.measurement for screened in measured)} == {HEALTHY_DENSITY}
    assert loop.run(children_of(supervisor, 0)) == []


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (403, "refused", "these credentials cannot read"),
        (404, "missing", "there is no repository at"),
        (503, "unavailable", "try again later"),
        (418, "unreadable", "responds with HTTP 418"),
    ],
)
def test_a_server_that_refuses_is_told_by_kind(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, server: GitServer, code: int, kind: str, says: str
) -> None:
    server.fault = status(code)
    found, sentence = failure(loop, supervisor.screen(order()))
    assert (found, says in sentence) == (kind, True)


def test_a_wrong_token_an_empty_repository_and_a_forbidden_address_are_told(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, tmp_path: Path
) -> None:
    assert failure(loop, supervisor.screen(order(token="wrong")))[0] == "refused"
    subprocess.run(["git", "init", "--bare", "-q", str(tmp_path / "root" / "ada" / "empty.git")], check=True)
    kind, sentence = failure(loop, supervisor.screen(order("ada/empty")))
    assert (kind, "is empty" in sentence) == ("unreadable", True)
    assert failure(loop, supervisor.screen(order(url="file:///etc/passwd")))[0] == "unreadable"


def test_a_proxy_is_used_in_the_child_alone(loop: asyncio.Runner, supervisor: Supervisor, order: Order) -> None:
    proxies = {"HTTP_PROXY": "http://user:pass@127.0.0.1:9"}
    kind, sentence = failure(loop, supervisor.screen(order(proxies=proxies)))
    assert (kind, "the proxy blocks" in sentence) == ("unavailable", True)
    loop.run(supervisor.screen(order(proxies={**proxies, "NO_PROXY": "127.0.0.1"})))


# What a child can see


@linux_only
def test_a_child_sees_nothing_of_the_worker(
    loop: asyncio.Runner, order: Order, server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_PRIVATE_KEY", "canary-of-the-key")
    secret = os.open(tmp_path / "database", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(secret, True)
    server.fault = stall(server)

    async def look() -> None:
        async with Supervisor() as supervisor:
            screening = asyncio.create_task(supervisor.screen(order()))
            (child,) = await children_of(supervisor)
            await seen_to_ask(server)
            for pid in (supervisor.pid, child) if may_look_into(child) else (supervisor.pid,):
                assert Path(f"/proc/{pid}/environ").read_bytes() == b""
                arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                assert arguments[1:] == [b"-I", b"-X", b"utf8", b"-m", b"bot.sandbox.fork_server", b""]
            if may_look_into(child):
                assert_files_of_its_own(child, order().folder)
            assert "Threads:\t1\n" in Path(f"/proc/{supervisor.pid}/status").read_text()  # what forks may have no more
            assert os.getsid(child) == child
            screening.cancel()
            await asyncio.wait([screening])

    try:
        loop.run(look())
    finally:
        os.close(secret)


def may_look_into(pid: int) -> bool:
    """Only a privileged user may look into a child."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes() is not None
    except PermissionError:
        return False


def assert_files_of_its_own(pid: int, folder: Path) -> None:
    """/dev/null, its socket to the worker, its socket to the server, and files below its folder."""
    targets = {int(path.name): os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
    assert [targets.pop(standard) for standard in (0, 1, 2)] == ["/dev/null"] * 3
    sockets = [target for target in targets.values() if target.startswith("socket:")]
    assert len(sockets) == 2
    assert all(target.startswith((f"{folder}/", "socket:")) for target in targets.values()), targets


def test_the_token_is_in_no_file_and_no_text(loop: asyncio.Runner, supervisor: Supervisor, order: Order) -> None:
    assert TOKEN not in repr(order())
    said: list[str] = []
    measured = loop.run(supervisor.screen(order(), said.append)).measurement
    files = [path for path in order().folder.rglob("*") if path.is_file()]
    assert len(files) > 4
    assert [path for path in files if TOKEN.encode() in path.read_bytes() or TOKEN in str(path)] == []
    assert TOKEN not in repr(measured) + repr(said)


@linux_only
def test_a_child_is_limited_in_every_way(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, server: GitServer
) -> None:
    server.fault = stall(server)

    async def look() -> dict[str, list[str]]:
        screening = asyncio.create_task(supervisor.screen(order(memory_mb=2_048, cpu_s=90, file_bytes=5_000_000)))
        (child,) = await children_of(supervisor)
        await seen_to_ask(server)
        lines = Path(f"/proc/{child}/limits").read_text().splitlines()
        screening.cancel()
        await asyncio.wait([screening])
        return {line[:25].strip(): line[25:].split()[:2] for line in lines}

    limits = loop.run(look())
    assert limits["Max data size"] == [str(2_048 << 20)] * 2
    assert limits["Max cpu time"] == ["90", "95"]
    assert limits["Max file size"] == ["5000000"] * 2
    assert limits["Max core file size"] == limits["Max processes"] == ["0", "0"]


@linux_only
def test_a_child_writes_to_its_own_folder_alone(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, tmp_path: Path
) -> None:
    loop.run(supervisor.screen(order()))
    outside = tmp_path / "outside"
    shutil.move(order().folder / "facts", outside)
    (order().folder / "facts").symlink_to(outside)
    before = [(path, path.stat().st_mtime_ns) for path in outside.iterdir()]
    assert loop.run(supervisor.screen(order())).measurement.density is not None
    if has_landlock():
        assert [(path, path.stat().st_mtime_ns) for path in outside.iterdir()] == before


def has_landlock() -> bool:
    with contextlib.suppress(OSError):
        return "landlock" in Path("/sys/kernel/security/lsm").read_text()
    return False


# What each way to end costs


def still_works(loop: asyncio.Runner, supervisor: Supervisor, order: Order, server: GitServer) -> None:
    server.fault = None
    measured = loop.run(supervisor.screen(order(folder=order().folder.with_name("after")))).measurement
    assert measured.density is not None
    assert measured.density.value == HEALTHY_DENSITY


@linux_only
@pytest.mark.parametrize("memory_mb", [1, 90])
def test_a_file_made_to_exhaust_its_parser_costs_one_screening(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, server: GitServer, tmp_path: Path, memory_mb: int
) -> None:
    brackets = ("(" * 380 + "\n") * 2_500  # takes nearly 300 MB to parse, and would then be refused
    healthy(("b.js", brackets, brackets + "\n", "100644")).write(tmp_path / "root" / "ada" / "brackets.git")
    found = failure(loop, supervisor.screen(order("ada/brackets", memory_mb=memory_mb)))
    assert found == ("memory", f"ran out of memory (limit {memory_mb} MB)")
    still_works(loop, supervisor, order, server)


def test_too_much_processor_time_costs_one_screening(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, server: GitServer, tmp_path: Path
) -> None:
    busy = History()
    lines = "".join(f"def f{n}(a):\n    if a:\n        return [{n}, a]\n    return a\n" for n in range(4_000))
    busy.commit("start", {f"{n}.py": lines + f"# {n}\n" for n in range(60)})
    busy.commit("end", {"README.md": "the end"}, day=900)
    busy.write(tmp_path / "root" / "ada" / "busy.git")
    found = failure(loop, supervisor.screen(order("ada/busy", cpu_s=1)))
    assert found == ("time", "used more than 1 s of processor time")
    still_works(loop, supervisor, order, server)


def test_a_file_that_grows_too_large_costs_one_screening(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, server: GitServer, tmp_path: Path
) -> None:
    large = History()
    large.commit("start", {"noise": Random(1).randbytes(2_000_000)})
    large.write(tmp_path / "root" / "ada" / "large.git")
    found = failure(loop, supervisor.screen(order("ada/large", file_bytes=1_000_000)))
    assert found == ("too_large", "needed a file larger than the limit of 1 MB")
    kind, sentence = failure(loop, supervisor.screen(order("ada/large", most_bytes=1_000_000)))
    assert (kind, "is larger than the limit of 1 MB" in sentence) == ("too_large", True)
    still_works(loop, supervisor, order, server)


def test_too_much_time_costs_one_screening(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, server: GitServer
) -> None:
    server.fault = stall(server)
    assert failure(loop, supervisor.screen(order(wall_s=0.3))) == ("time", "took longer than 0.3 s")
    assert loop.run(children_of(supervisor, 0)) == []
    still_works(loop, supervisor, order, server)


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (signal.SIGSEGV, ("crash", "crashed (signal 11)")),
        (signal.SIGABRT, ("crash", "crashed (signal 6)")),
        (signal.SIGKILL, ("memory", "was killed: the machine is short of memory")),
    ],
)
def test_a_child_that_crashes_costs_one_screening(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, server: GitServer, number: int, found: tuple[str, str]
) -> None:
    server.fault = stall(server)

    async def crash() -> None:
        (child,) = await children_of(supervisor)
        await seen_to_ask(server)
        os.kill(child, number)

    async def both() -> None:
        await asyncio.gather(supervisor.screen(order()), crash())

    assert failure(loop, both()) == found  # type: ignore[arg-type]
    still_works(loop, supervisor, order, server)


def test_a_screening_that_is_cancelled_is_gone_at_once(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, server: GitServer
) -> None:
    server.fault = stall(server)

    async def cancel() -> int:
        screening = asyncio.create_task(supervisor.screen(order()))
        (child,) = await children_of(supervisor)
        screening.cancel()
        await asyncio.wait([screening])
        assert screening.cancelled()
        return child

    assert is_gone(loop.run(cancel()))
    still_works(loop, supervisor, order, server)


@pytest.mark.parametrize("after_s", [0, 0.0005, 0.002, 0.005, 0.02, 0.05])
def test_a_screening_may_be_cancelled_at_any_moment(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, after_s: float
) -> None:
    async def cancel() -> float:
        screening = asyncio.create_task(supervisor.screen(order()))
        await asyncio.sleep(after_s)
        started_s = time.monotonic()
        screening.cancel()
        await asyncio.wait([screening])
        assert await children_of(supervisor, 0) == []
        return time.monotonic() - started_s

    assert loop.run(cancel()) < 5
    assert loop.run(supervisor.screen(order())).measurement.density is not None


def test_a_supervisor_that_is_killed_takes_its_children_along_and_is_started_anew(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, server: GitServer
) -> None:
    server.fault = stall(server)
    before = supervisor.pid
    found: list[int] = []

    async def kill() -> None:
        found.extend(await children_of(supervisor))
        await seen_to_ask(server)
        os.kill(supervisor.pid, signal.SIGKILL)

    async def both() -> None:
        await asyncio.gather(supervisor.screen(order()), kill())

    kind, sentence = failure(loop, both())  # type: ignore[arg-type]
    assert (kind, sentence) == (
        "interrupted",
        "the process that starts screenings ended: the screening is started again",
    )
    if sys.platform == "linux":
        until_gone(*found)
    still_works(loop, supervisor, order, server)
    assert supervisor.pid != before


def test_a_supervisor_that_cannot_start_is_told(
    loop: asyncio.Runner, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.sandbox.supervisor._COMMAND", ("false",))
    supervisor = Supervisor()
    found = failure(loop, supervisor.screen(order()))
    assert found == ("interrupted", "the process that starts screenings does not start")
    assert supervisor.pid == 0


WORKER = """
import asyncio, sys
from pathlib import Path
from bot.sandbox.supervisor import Supervisor, ScreeningTask

async def main():
    async with Supervisor() as supervisor:
        print(supervisor.pid, flush=True)
        url, folder, token = sys.argv[1:]
        await supervisor.screen(ScreeningTask(url=url, folder=Path(folder), most_bytes=1 << 30, token=token))

asyncio.run(main())
"""


def test_a_worker_that_is_killed_takes_everything_along(order: Order, server: GitServer) -> None:
    server.fault = stall(server)
    arguments = [order().url, str(order().folder), TOKEN]
    with subprocess.Popen([sys.executable, "-c", WORKER, *arguments], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        supervisor = int(worker.stdout.readline())
        asyncio.run(seen_to_ask(server))
        (child,) = (child.pid for child in psutil.Process(supervisor).children())
        worker.kill()
    until_gone(supervisor, child)


def test_closing_ends_everything_and_may_be_done_twice(loop: asyncio.Runner, order: Order, server: GitServer) -> None:
    server.fault = stall(server)

    async def close() -> tuple[int, ...]:
        supervisor = Supervisor()
        await supervisor.close()
        await supervisor.start()
        screening = asyncio.create_task(supervisor.screen(order()))
        pids = (supervisor.pid, *await children_of(supervisor))
        await seen_to_ask(server)
        await supervisor.close()
        await supervisor.close()
        with pytest.raises(ScreeningFailed):
            await screening
        return pids

    until_gone(*loop.run(close()))


# The ranking, which comes after the measurement


def test_a_ranking_follows_the_measurement_where_it_is_wanted(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order
) -> None:
    unasked = loop.run(supervisor.screen(order()))
    assert (unasked.shortlist, unasked.unranked) == (None, "")
    screened = loop.run(supervisor.screen(order(rank=True)))
    assert screened.measurement.density == unasked.measurement.density
    shortlist = screened.shortlist
    assert shortlist is not None
    assert (shortlist.scorer, shortlist.ranked_functions, shortlist.ranked_files) == ("baseline", 20, 5)
    assert {place.path for place in shortlist.files} == {f"m{n}.py" for n in range(5)}
    assert shortlist.functions[0].reasons[0].startswith("touched ")
    again = loop.run(supervisor.screen(order(rank=True)))  # from what was found out before
    assert again.shortlist == shortlist


def test_a_ranking_that_takes_too_long_costs_nothing_but_itself(
    loop: asyncio.Runner, supervisor: Supervisor, order: Order, server: GitServer
) -> None:
    screened = loop.run(supervisor.screen(order(rank=True, rank_s=0.0)))
    assert screened.measurement.density is not None
    assert (screened.shortlist, screened.unranked) == (None, "took too long")
    assert loop.run(children_of(supervisor, 0)) == []
    still_works(loop, supervisor, order, server)


def hear_after_measuring(*said: bytes, rank: bool = True) -> Screened:
    """What the worker makes of a child that says this after its measurement, and then no more."""

    async def listen() -> Screened:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MOST_ANSWER_BYTES)
        order = ScreeningTask(url="https://example.org/a/b", folder=Path("/nowhere"), most_bytes=1, rank=rank)
        speaking = asyncio.create_task(asyncio.to_thread(speak, theirs, said))
        try:
            ends_at = asyncio.get_running_loop().time() + 10
            return await hear_ranking(order, MEASUREMENT, reader, ends_at, lambda line: None)
        finally:
            writer.close()
            await speaking

    return asyncio.run(listen())


SHORTLIST = Shortlist("baseline", 1, 1, (Place("a.py", "f", 1, ("4 lines",)),), ())


def test_a_ranking_is_passed_on_as_it_was_said() -> None:
    line = json.dumps({"shortlist": dump_shortlist(SHORTLIST)}).encode() + b"\n"
    assert hear_after_measuring(b'{"progress": "reading the past"}\n', line) == Screened(MEASUREMENT, SHORTLIST)
    assert hear_after_measuring(line, rank=False) == Screened(MEASUREMENT)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "the process ended"),
        (b'{"shortlist": {', "the process ended"),
        (
            b'{"unranked": "stopped on an error (MemoryError in past.py, line 5)"}\n',
            "stopped on an error (MemoryError in past.py, line 5)",
        ),
        (b'{"unranked": "\\u001b[31m"}\n', "gave a ranking that makes no sense"),
        (b'{"shortlist": null}\n', "gave a ranking that makes no sense"),
        (b"hello\n", "gave a ranking that makes no sense"),
        (b"x" * (MOST_ANSWER_BYTES + 10), "gave a ranking that makes no sense"),
    ],
    ids=lambda said: repr(said[:20]),
)
def test_whatever_becomes_of_the_ranking_the_measurement_stands(said: bytes, why: str) -> None:
    assert hear_after_measuring(said) == Screened(MEASUREMENT, unranked=why)


# Answers that no child of ours gives


def hear(*said: bytes) -> tuple[str, Any]:
    """What the worker makes of a child that says this and ends with exit status 3."""

    async def talk() -> tuple[str, Any]:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MOST_ANSWER_BYTES)
        ending = asyncio.get_running_loop().create_future()
        ending.set_result(Ending(3, 0.1, 50.0))
        order = ScreeningTask(url="https://example.org/a/b", folder=Path("/nowhere"), most_bytes=1)
        speaking = asyncio.create_task(asyncio.to_thread(speak, theirs, said))
        try:
            return "measured", await converse(order, reader, writer, ending, lambda line: None)
        except ScreeningFailed as failed:
            return failed.kind, failed.sentence
        finally:
            writer.close()
            await speaking

    return asyncio.run(talk())


def speak(to: socket.socket, said: tuple[bytes, ...]) -> None:
    with to, contextlib.suppress(ConnectionError):
        for part in said:
            to.sendall(part)
        to.shutdown(socket.SHUT_WR)
        while to.recv(1 << 16):
            pass


NO_SENSE = ("crash", "gave an answer that makes no sense")


@pytest.mark.parametrize(
    "said",
    [
        b"hello\n",
        b"\xff\xfe\n",
        b"[]\n",
        b"{}\n",
        b'{"measurement": null}\n',
        b'{"measurement": {"repo": "a/b"}}\n',
        b'{"error": {"kind": "password", "sentence": "x"}}\n',
        b'{"error": {"kind": "crash", "sentence": "a\\u001b[31mb"}}\n',
        b'{"error": {"kind": "crash", "sentence": 5}}\n',
        b'{"progress": ["x"]}\n',
        b"[" * 1_000_000 + b"\n",
        b"x" * (MOST_ANSWER_BYTES + 10),
        b'{"progress": "%s"}\n' % (b"x" * 490) * (MOST_ANSWER_BYTES // 500),
        b"cos\nsystem\n(S'exit 1'\ntR.\n",
    ],
    ids=lambda said: repr(said[:20]),
)
def test_an_answer_that_makes_no_sense_is_a_failure_and_nothing_more(said: bytes) -> None:
    assert hear(said) == NO_SENSE


@pytest.mark.parametrize("said", [b"", b'{"measurement": ', b'{"progress": "reading"}\n'])
def test_an_answer_that_never_comes_is_told_by_how_the_child_ended(said: bytes) -> None:
    assert hear(said) == ("crash", "ended without an answer (exit status 3)")


def test_an_error_is_passed_on_as_it_was_said() -> None:
    assert hear(b'{"error": {"kind": "missing", "sentence": "not there"}}\n') == ("missing", "not there")
