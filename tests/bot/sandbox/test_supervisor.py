"""Screenings in child processes: results, isolation, and what each way of failing costs."""

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

from bot.sandbox.child_replies import MAX_REPLY_BYTES, receive_measurement, receive_ranking
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
    """Serves the healthy history as ada/code.git to clients with the token."""
    shutil.copytree(shelf, tmp_path / "root" / "ada" / "code.git")
    with serve_git(tmp_path / "root", TOKEN) as server:
        yield server


@pytest.fixture
def task(tmp_path: Path, server: GitServer) -> Callable[..., ScreeningTask]:
    def make(name: str = "ada/code", **changes: Any) -> ScreeningTask:
        usual: dict[str, Any] = {
            "url": f"{server}/{name}.git",
            "folder": tmp_path / "clones" / name,
            "max_pack_bytes": 1 << 30,
            "token": TOKEN,
            "seen_at": 2_000_000_000,
        }
        return ScreeningTask(**usual | changes)

    return make


MakeTask = Callable[..., ScreeningTask]


def failure(loop: asyncio.Runner, screening: Awaitable[Screened]) -> tuple[str, str]:
    async def fail() -> tuple[str, str]:
        with pytest.raises(ScreeningFailed) as caught:
            await screening
        assert caught.value.sentence.isprintable()
        return caught.value.kind, caught.value.sentence

    return loop.run(fail())


async def wait_for_children(supervisor: Supervisor, amount: int = 1) -> list[int]:
    """Wait until the fork server has `amount` children; return their pids."""
    for _ in range(500):
        found = [child.pid for child in psutil.Process(supervisor.pid).children(recursive=True)]
        if len(found) == amount:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"{amount} children were expected")


async def until_requested(server: GitServer) -> None:
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


# Results


def test_a_repository_is_cloned_then_fetched(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, server: GitServer
) -> None:
    replies: list[str] = []
    first = loop.run(supervisor.screen(task(), replies.append)).measurement
    assert first.density is not None
    assert (first.density.value, first.repo, first.commits) == (HEALTHY_DENSITY, "ada/code", len(healthy().commits))
    assert (first.notes, first.windows.as_of) == ((), 1_677_760_000)
    assert first.clone_bytes == sum(f.stat().st_size for f in task().folder.glob("clone.git/**/*") if f.is_file())
    assert first.seconds > 0
    assert first.peak_rss_mb > 10
    assert replies[0] == "indexing 0 %"
    server.requests.clear()
    again = loop.run(supervisor.screen(task())).measurement
    assert again.density == first.density
    assert len(server.requests) == 2  # what the server can, and its head


def test_no_window_ends_after_the_head_was_first_seen(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask
) -> None:
    seen_at = 1_677_760_000 - 100
    measured = loop.run(supervisor.screen(task(seen_at=seen_at))).measurement
    assert measured.windows.as_of == seen_at
    assert measured.head_sha == healthy_head(task)
    assert loop.run(supervisor.screen(task(seen_at=seen_at + 50))).measurement.windows.as_of == seen_at


def healthy_head(task: MakeTask) -> str:
    folder = task().folder / "clone.git"
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True).stdout.strip()


def test_a_rewritten_history_is_followed(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, tmp_path: Path
) -> None:
    loop.run(supervisor.screen(task()))
    shutil.rmtree(tmp_path / "root" / "ada" / "code.git")
    other = healthy(("more.py", "def more():\n    a = 1\n    return a\n", None, "100644"))
    other.write(tmp_path / "root" / "ada" / "code.git")
    measured = loop.run(supervisor.screen(task())).measurement
    assert measured.head_sha == other.ids[other.tips["main"]]
    assert measured.density is not None
    assert measured.density.pairs == 21


@pytest.mark.parametrize("at", [0.1, 0.9])
def test_a_damaged_clone_is_cloned_again(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, at: float
) -> None:
    whole = loop.run(supervisor.screen(task())).measurement
    (pack,) = task().folder.glob("clone.git/objects/pack/*.pack")
    content = bytearray(pack.read_bytes())
    for index in range(int(at * len(content)), int(at * len(content)) + 60):
        content[index] ^= 0x55
    pack.chmod(0o644)
    pack.write_bytes(content)
    shutil.rmtree(task().folder / "facts")
    again = loop.run(supervisor.screen(task())).measurement
    assert (again.density, again.notes) == (whole.density, ())
    assert not is_damaged(task().folder / "clone.git")


def test_twenty_concurrent_screenings_all_finish(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, server: GitServer, tmp_path: Path
) -> None:
    async def all_at_once() -> list[Screened]:
        orders = [task(folder=tmp_path / "clones" / str(number)) for number in range(20)]
        return await asyncio.gather(*map(supervisor.screen, orders))

    measured = loop.run(all_at_once())
    assert {m.density and m.density.value for m in (screened.measurement for screened in measured)} == {HEALTHY_DENSITY}
    assert loop.run(wait_for_children(supervisor, 0)) == []


@pytest.mark.parametrize(
    ("code", "kind", "says"),
    [
        (403, "refused", "these credentials cannot read"),
        (404, "missing", "there is no repository at"),
        (503, "unavailable", "try again later"),
        (418, "unreadable", "responds with HTTP 418"),
    ],
)
def test_git_errors_map_to_failure_kinds(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, server: GitServer, code: int, kind: str, says: str
) -> None:
    server.fault = status(code)
    found, sentence = failure(loop, supervisor.screen(task()))
    assert (found, says in sentence) == (kind, True)


def test_a_wrong_token_an_empty_repository_and_a_forbidden_url_fail(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, tmp_path: Path
) -> None:
    assert failure(loop, supervisor.screen(task(token="wrong")))[0] == "refused"
    subprocess.run(["git", "init", "--bare", "-q", str(tmp_path / "root" / "ada" / "empty.git")], check=True)
    kind, sentence = failure(loop, supervisor.screen(task("ada/empty")))
    assert (kind, "is empty" in sentence) == ("unreadable", True)
    assert failure(loop, supervisor.screen(task(url="file:///etc/passwd")))[0] == "unreadable"


def test_a_proxy_applies_to_the_child(loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask) -> None:
    proxies = {"HTTP_PROXY": "http://user:pass@127.0.0.1:9"}
    kind, sentence = failure(loop, supervisor.screen(task(proxies=proxies)))
    assert (kind, "the proxy blocks" in sentence) == ("unavailable", True)
    loop.run(supervisor.screen(task(proxies={**proxies, "NO_PROXY": "127.0.0.1"})))


# Isolation


@linux_only
def test_a_child_inherits_nothing_from_the_worker(
    loop: asyncio.Runner, task: MakeTask, server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_PRIVATE_KEY", "canary-of-the-key")
    secret = os.open(tmp_path / "database", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(secret, True)
    server.fault = stall(server)

    async def look() -> None:
        async with Supervisor() as supervisor:
            screening = asyncio.create_task(supervisor.screen(task()))
            (child,) = await wait_for_children(supervisor)
            await until_requested(server)
            for pid in (supervisor.pid, child) if may_look_into(child) else (supervisor.pid,):
                assert Path(f"/proc/{pid}/environ").read_bytes() == b""
                arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                assert arguments[1:] == [b"-I", b"-X", b"utf8", b"-m", b"bot.sandbox.fork_server", b""]
            if may_look_into(child):
                assert_files_of_its_own(child, task().folder)
            assert "Threads:\t1\n" in Path(f"/proc/{supervisor.pid}/status").read_text()  # what forks may have no more
            assert os.getsid(child) == child
            screening.cancel()
            await asyncio.wait([screening])

    try:
        loop.run(look())
    finally:
        os.close(secret)


def may_look_into(pid: int) -> bool:
    """Only a privileged user may read a child's /proc entries."""
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


def test_the_token_is_in_no_file_and_no_output(loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask) -> None:
    assert TOKEN not in repr(task())
    replies: list[str] = []
    measured = loop.run(supervisor.screen(task(), replies.append)).measurement
    files = [path for path in task().folder.rglob("*") if path.is_file()]
    assert len(files) > 4
    assert [path for path in files if TOKEN.encode() in path.read_bytes() or TOKEN in str(path)] == []
    assert TOKEN not in repr(measured) + repr(replies)


@linux_only
def test_a_child_runs_under_every_limit(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, server: GitServer
) -> None:
    server.fault = stall(server)

    async def look() -> dict[str, list[str]]:
        screening = asyncio.create_task(supervisor.screen(task(memory_mb=2_048, cpu_s=90, file_bytes=5_000_000)))
        (child,) = await wait_for_children(supervisor)
        await until_requested(server)
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
def test_a_child_writes_only_to_its_own_folder(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, tmp_path: Path
) -> None:
    loop.run(supervisor.screen(task()))
    outside = tmp_path / "outside"
    shutil.move(task().folder / "facts", outside)
    (task().folder / "facts").symlink_to(outside)
    before = [(path, path.stat().st_mtime_ns) for path in outside.iterdir()]
    assert loop.run(supervisor.screen(task())).measurement.density is not None
    if has_landlock():
        assert [(path, path.stat().st_mtime_ns) for path in outside.iterdir()] == before


def has_landlock() -> bool:
    with contextlib.suppress(OSError):
        return "landlock" in Path("/sys/kernel/security/lsm").read_text()
    return False


# Failures


def assert_still_works(loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, server: GitServer) -> None:
    server.fault = None
    measured = loop.run(supervisor.screen(task(folder=task().folder.with_name("after")))).measurement
    assert measured.density is not None
    assert measured.density.value == HEALTHY_DENSITY


@linux_only
@pytest.mark.parametrize("memory_mb", [1, 90])
def test_a_parser_bomb_fails_one_screening(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, server: GitServer, tmp_path: Path, memory_mb: int
) -> None:
    brackets = ("(" * 380 + "\n") * 2_500  # takes nearly 300 MB to parse, and would then be refused
    healthy(("b.js", brackets, brackets + "\n", "100644")).write(tmp_path / "root" / "ada" / "brackets.git")
    found = failure(loop, supervisor.screen(task("ada/brackets", memory_mb=memory_mb)))
    assert found == ("memory", f"ran out of memory (limit {memory_mb} MB)")
    assert_still_works(loop, supervisor, task, server)


def test_exceeding_cpu_time_fails_one_screening(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, server: GitServer, tmp_path: Path
) -> None:
    busy = History()
    lines = "".join(f"def f{n}(a):\n    if a:\n        return [{n}, a]\n    return a\n" for n in range(4_000))
    busy.commit("start", {f"{n}.py": lines + f"# {n}\n" for n in range(60)})
    busy.commit("end", {"README.md": "the end"}, day=900)
    busy.write(tmp_path / "root" / "ada" / "busy.git")
    found = failure(loop, supervisor.screen(task("ada/busy", cpu_s=1)))
    assert found == ("time", "used more than 1 s of processor time")
    assert_still_works(loop, supervisor, task, server)


def test_exceeding_the_file_size_fails_one_screening(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, server: GitServer, tmp_path: Path
) -> None:
    large = History()
    large.commit("start", {"noise": Random(1).randbytes(2_000_000)})
    large.write(tmp_path / "root" / "ada" / "large.git")
    found = failure(loop, supervisor.screen(task("ada/large", file_bytes=1_000_000)))
    assert found == ("too_large", "needed a file larger than the limit of 1 MB")
    kind, sentence = failure(loop, supervisor.screen(task("ada/large", max_pack_bytes=1_000_000)))
    assert (kind, "is larger than the limit of 1 MB" in sentence) == ("too_large", True)
    assert_still_works(loop, supervisor, task, server)


def test_exceeding_wall_time_fails_one_screening(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, server: GitServer
) -> None:
    server.fault = stall(server)
    assert failure(loop, supervisor.screen(task(wall_s=0.3))) == ("time", "took longer than 0.3 s")
    assert loop.run(wait_for_children(supervisor, 0)) == []
    assert_still_works(loop, supervisor, task, server)


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (signal.SIGSEGV, ("crash", "crashed (signal 11)")),
        (signal.SIGABRT, ("crash", "crashed (signal 6)")),
        (signal.SIGKILL, ("killed", "was killed: the machine is short of memory")),
        (signal.SIGTERM, ("killed", "was stopped from outside (signal 15)")),
    ],
)
def test_a_crash_fails_one_screening(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, server: GitServer, number: int, found: tuple[str, str]
) -> None:
    server.fault = stall(server)

    async def crash() -> None:
        (child,) = await wait_for_children(supervisor)
        await until_requested(server)
        os.kill(child, number)

    async def both() -> None:
        await asyncio.gather(supervisor.screen(task()), crash())

    assert failure(loop, both()) == found  # type: ignore[arg-type]
    assert_still_works(loop, supervisor, task, server)


def test_a_cancelled_screening_ends_immediately(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, server: GitServer
) -> None:
    server.fault = stall(server)

    async def cancel() -> int:
        screening = asyncio.create_task(supervisor.screen(task()))
        (child,) = await wait_for_children(supervisor)
        screening.cancel()
        await asyncio.wait([screening])
        assert screening.cancelled()
        return child

    assert is_gone(loop.run(cancel()))
    assert_still_works(loop, supervisor, task, server)


@pytest.mark.parametrize("after_s", [0, 0.0005, 0.002, 0.005, 0.02, 0.05])
def test_a_screening_may_be_cancelled_at_any_moment(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, after_s: float
) -> None:
    async def cancel() -> float:
        screening = asyncio.create_task(supervisor.screen(task()))
        await asyncio.sleep(after_s)
        started_s = time.monotonic()
        screening.cancel()
        await asyncio.wait([screening])
        assert await wait_for_children(supervisor, 0) == []
        return time.monotonic() - started_s

    assert loop.run(cancel()) < 5
    assert loop.run(supervisor.screen(task())).measurement.density is not None


def test_a_killed_fork_server_takes_its_children_along_and_is_restarted(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, server: GitServer
) -> None:
    server.fault = stall(server)
    before = supervisor.pid
    found: list[int] = []

    async def kill() -> None:
        found.extend(await wait_for_children(supervisor))
        await until_requested(server)
        os.kill(supervisor.pid, signal.SIGKILL)

    async def both() -> None:
        await asyncio.gather(supervisor.screen(task()), kill())

    kind, sentence = failure(loop, both())  # type: ignore[arg-type]
    assert (kind, sentence) == (
        "interrupted",
        "the process that starts screenings ended: the screening is started again",
    )
    if sys.platform == "linux":
        until_gone(*found)
    assert_still_works(loop, supervisor, task, server)
    assert supervisor.pid != before


def test_a_fork_server_that_cannot_start_is_a_failure(
    loop: asyncio.Runner, task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.sandbox.supervisor._COMMAND", ("false",))
    supervisor = Supervisor()
    found = failure(loop, supervisor.screen(task()))
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
        await supervisor.screen(ScreeningTask(url=url, folder=Path(folder), max_pack_bytes=1 << 30, token=token))

asyncio.run(main())
"""


def test_a_killed_worker_takes_every_process_along(task: MakeTask, server: GitServer) -> None:
    server.fault = stall(server)
    arguments = [task().url, str(task().folder), TOKEN]
    with subprocess.Popen([sys.executable, "-c", WORKER, *arguments], stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        supervisor = int(worker.stdout.readline())
        asyncio.run(until_requested(server))
        (child,) = (child.pid for child in psutil.Process(supervisor).children())
        worker.kill()
    until_gone(supervisor, child)


def test_close_ends_every_process_and_may_be_called_twice(
    loop: asyncio.Runner, task: MakeTask, server: GitServer
) -> None:
    server.fault = stall(server)

    async def close() -> tuple[int, ...]:
        supervisor = Supervisor()
        await supervisor.close()
        await supervisor.start()
        screening = asyncio.create_task(supervisor.screen(task()))
        pids = (supervisor.pid, *await wait_for_children(supervisor))
        await until_requested(server)
        await supervisor.close()
        await supervisor.close()
        with pytest.raises(ScreeningFailed):
            await screening
        return pids

    until_gone(*loop.run(close()))


# The ranking


def test_a_requested_ranking_follows_the_measurement(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask
) -> None:
    unasked = loop.run(supervisor.screen(task()))
    assert (unasked.shortlist, unasked.unranked) == (None, "")
    screened = loop.run(supervisor.screen(task(rank=True)))
    assert screened.measurement.density == unasked.measurement.density
    shortlist = screened.shortlist
    assert shortlist is not None
    assert (shortlist.scorer, shortlist.ranked_functions, shortlist.ranked_files) == ("baseline", 20, 5)
    assert {place.path for place in shortlist.files} == {f"m{n}.py" for n in range(5)}
    assert shortlist.functions[0].reasons[0].startswith("touched ")
    again = loop.run(supervisor.screen(task(rank=True)))  # from cached facts
    assert again.shortlist == shortlist


def test_a_ranking_that_times_out_leaves_the_measurement(
    loop: asyncio.Runner, supervisor: Supervisor, task: MakeTask, server: GitServer
) -> None:
    screened = loop.run(supervisor.screen(task(rank=True, rank_s=0.0)))
    assert screened.measurement.density is not None
    assert (screened.shortlist, screened.unranked) == (None, "took too long")
    assert loop.run(wait_for_children(supervisor, 0)) == []
    assert_still_works(loop, supervisor, task, server)


def receive_after_measuring(*replies: bytes, rank: bool = True) -> Screened:
    """Run the worker's side against a child that sends `replies` after its measurement, then hangs up."""

    async def listen() -> Screened:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MAX_REPLY_BYTES)
        task = ScreeningTask(url="https://example.org/a/b", folder=Path("/nowhere"), max_pack_bytes=1, rank=rank)
        sending = asyncio.create_task(asyncio.to_thread(send_all, theirs, replies))
        try:
            ends_at = asyncio.get_running_loop().time() + 10
            return await receive_ranking(task, MEASUREMENT, reader, ends_at, lambda line: None)
        finally:
            writer.close()
            await sending

    return asyncio.run(listen())


SHORTLIST = Shortlist("baseline", 1, 1, (Place("a.py", "f", 1, ("4 lines",)),), ())


def test_a_ranking_is_parsed() -> None:
    line = json.dumps({"shortlist": dump_shortlist(SHORTLIST)}).encode() + b"\n"
    assert receive_after_measuring(b'{"progress": "reading the past"}\n', line) == Screened(MEASUREMENT, SHORTLIST)
    assert receive_after_measuring(line, rank=False) == Screened(MEASUREMENT)


def test_a_failed_ranking_leaves_the_measurement() -> None:
    cases: list[tuple[bytes, str]] = [
        (b"", "the process ended"),
        (b'{"shortlist": {', "the process ended"),
        (
            b'{"unranked": "stopped on an error (MemoryError in past.py, line 5)"}\n',
            "stopped on an error (MemoryError in past.py, line 5)",
        ),
        (b'{"unranked": "\\u001b[31m"}\n', "sent an invalid ranking"),
        (b'{"shortlist": null}\n', "sent an invalid ranking"),
        (b"hello\n", "sent an invalid ranking"),
        (b"x" * (MAX_REPLY_BYTES + 10), "sent an invalid ranking"),
    ]
    wrong = [
        (replies, why, got, expected)
        for replies, why in cases
        if (got := receive_after_measuring(replies)) != (expected := Screened(MEASUREMENT, unranked=why))
    ]
    assert wrong == []


# Malformed replies


def receive(*replies: bytes) -> tuple[str, Any]:
    """Run the worker's side against a child that sends `replies` and ends with exit status 3."""

    async def talk() -> tuple[str, Any]:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MAX_REPLY_BYTES)
        ending = asyncio.get_running_loop().create_future()
        ending.set_result(Ending(3, 0.1, 50.0))
        task = ScreeningTask(url="https://example.org/a/b", folder=Path("/nowhere"), max_pack_bytes=1)
        sending = asyncio.create_task(asyncio.to_thread(send_all, theirs, replies))
        try:
            return "measured", await receive_measurement(task, reader, writer, ending, lambda line: None)
        except ScreeningFailed as failed:
            return failed.kind, failed.sentence
        finally:
            writer.close()
            await sending

    return asyncio.run(talk())


def send_all(to: socket.socket, replies: tuple[bytes, ...]) -> None:
    with to, contextlib.suppress(ConnectionError):
        for part in replies:
            to.sendall(part)
        to.shutdown(socket.SHUT_WR)
        while to.recv(1 << 16):
            pass


MALFORMED = ("crash", "sent an invalid reply")


def test_a_malformed_reply_is_a_failure() -> None:
    cases: list[bytes] = [
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
        b"x" * (MAX_REPLY_BYTES + 10),
        b'{"progress": "%s"}\n' % (b"x" * 490) * (MAX_REPLY_BYTES // 500),
        b"cos\nsystem\n(S'exit 1'\ntR.\n",
    ]
    wrong = [(replies, got, MALFORMED) for replies in cases if (got := receive(replies)) != MALFORMED]
    assert wrong == []


@pytest.mark.parametrize("replies", [b"", b'{"measurement": ', b'{"progress": "reading"}\n'])
def test_a_missing_reply_is_explained_by_how_the_child_ended(replies: bytes) -> None:
    assert receive(replies) == ("crash", "ended without a reply (exit status 3)")


def test_an_error_is_parsed() -> None:
    assert receive(b'{"error": {"kind": "missing", "sentence": "not there"}}\n') == ("missing", "not there")
