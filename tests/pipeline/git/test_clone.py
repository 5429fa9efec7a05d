"""Clone and fetch from a local git server: up to date afterwards, and complete or absent after any failure."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from pipeline.git.clone import clone_or_fetch, parse_url
from pipeline.git.repository import open_repository
from pipeline.records import AssayError
from tests.builders.history import History
from tests.builders.limits import run_limited
from tests.builders.objects import PackBuilder
from tests.builders.patience import PATIENCE_S
from tests.pipeline.git import children
from tests.rows import each_row
from tests.simulator.git_server import Fault, GitResponse, GitServer, cut_after, redirect, serve_git, stall, status

ROOT = Path(__file__).parent.parent.parent.parent
TOKEN = "ghs_verysecret"
CREDENTIALS = ("x-access-token", TOKEN)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    history = some_history(30)
    history.commit("elsewhere", {"side.py": "only on the side branch"}, branch="side", parents=[3])
    return history.write(tmp_path_factory.mktemp("original") / "code.git")


@pytest.fixture
def root(tmp_path: Path, original: Path) -> Path:
    """The folder that is served, with a repository of 30 commits and a second branch at ada/code.git."""
    shutil.copytree(original, tmp_path / "root" / "ada" / "code.git")
    return tmp_path / "root"


@pytest.fixture
def server(root: Path) -> Iterator[GitServer]:
    with serve_git(root) as served:
        yield served


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "data" / "code.git"


def some_history(commits: int, first: int = 0) -> History:
    history = History()
    for n in range(first, first + commits):
        lines = "".join(f"line {k} of {first}\n" for k in range(5 * n))
        history.commit(f"commit {n}", {"a.py": lines, f"d/{n}.py": f"{n}\n" * 50})
    return history


def serve_instead(root: Path, history: History, head: str = "main") -> None:
    shutil.rmtree(root / "ada" / "code.git")
    history.write(root / "ada" / "code.git", head)


def git(path: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=path, check=True, capture_output=True, text=True)
    return done.stdout + done.stderr


def fetch(server: GitServer, into: Path, **options) -> Path:
    return clone_or_fetch(parse_url(f"{server.url}/ada/code.git"), into, **options)


def assert_is_complete_copy(into: Path, root: Path, branch: str = "main") -> None:
    served = root / "ada" / "code.git"
    repository = open_repository(into)
    listed = git(served, "rev-list", "--objects", "HEAD")
    assert repository.head.hex() == listed.partition("\n")[0]
    assert repository.head_ref == f"refs/heads/{branch}"
    assert repository.name == "ada/code"
    assert git(into, "fsck", "--full", "--strict") == ""
    assert git(into, "rev-list", "--objects", "HEAD") == listed
    assert_no_partial_files(into)


def assert_no_partial_files(into: Path) -> None:
    names = {path.name for path in into.parent.iterdir()} if into.parent.exists() else set()
    assert names <= {into.name, f"{into.name}.lock"}
    assert [path for path in into.rglob("*") if ".part" in path.name or path.suffix == ".tmp"] == []


def packs(into: Path) -> list[str]:
    return sorted(path.name for path in (into / "objects" / "pack").glob("*.pack"))


def assert_fails(server: GitServer, into: Path, message: str, **options) -> None:
    """Assert that fetching fails with a message of one line, and leaves no partial files."""
    with pytest.raises(AssayError, match=message) as caught:
        fetch(server, into, **options)
    assert str(caught.value).isprintable()
    assert TOKEN not in str(caught.value)
    assert_no_partial_files(into)


# Up to date


@pytest.mark.parametrize("old_protocol", [False, True])
def test_a_clone_holds_the_default_branch_and_nothing_else(
    root: Path, server: GitServer, into: Path, old_protocol: bool
) -> None:
    server.old_protocol = old_protocol
    messages: list[str] = []
    assert fetch(server, into, progress=messages.append) == into
    assert_is_complete_copy(into, root)
    side = git(root / "ada" / "code.git", "rev-parse", "side").strip()
    assert subprocess.run(["git", "cat-file", "-e", side], cwd=into, check=False, capture_output=True).returncode != 0
    assert messages[0] == "indexing 0 %"


def test_nothing_is_received_if_nothing_is_new(root: Path, server: GitServer, into: Path) -> None:
    fetch(server, into)
    before = sorted((str(path), path.stat().st_size) for path in into.rglob("*"))
    server.requests.clear()
    fetch(server, into)
    assert sorted((str(path), path.stat().st_size) for path in into.rglob("*")) == before
    assert len(server.requests) == 2  # capabilities and head


@pytest.mark.parametrize("old_protocol", [False, True])
def test_only_new_commits_are_fetched(root: Path, server: GitServer, into: Path, old_protocol: bool) -> None:
    server.old_protocol = old_protocol
    fetch(server, into)
    (first,) = packs(into)
    serve_instead(root, some_history(35))
    fetch(server, into)
    assert_is_complete_copy(into, root)
    second = next(name for name in packs(into) if name != first)
    listed = git(into, "verify-pack", "-v", f"objects/pack/{second.removesuffix('.pack')}.idx")
    assert listed.count(" commit ") == 5


@pytest.mark.parametrize(
    "rewritten",
    [some_history(20), some_history(10, first=100)],
    ids=["to an older commit", "to another history"],
)
def test_a_rewritten_branch_is_followed(root: Path, server: GitServer, into: Path, rewritten: History) -> None:
    fetch(server, into)
    serve_instead(root, rewritten)
    fetch(server, into)
    assert open_repository(into).head.hex() == rewritten.ids[rewritten.tips["main"]]
    assert git(into, "fsck", "--full") == "" or "dangling" in git(into, "fsck", "--full")


def test_a_renamed_default_branch_is_followed(root: Path, server: GitServer, into: Path) -> None:
    fetch(server, into)
    git(root / "ada" / "code.git", "branch", "-m", "main", "trunk/ünicode")
    fetch(server, into)
    assert_is_complete_copy(into, root, "trunk/ünicode")
    git(root / "ada" / "code.git", "branch", "-m", "trunk/ünicode", "trunk")
    fetch(server, into)
    assert_is_complete_copy(into, root, "trunk")


def test_a_server_without_a_default_branch_has_its_head_cloned(root: Path, server: GitServer, into: Path) -> None:
    served = root / "ada" / "code.git"
    head = git(served, "rev-parse", "main~4").strip()
    (served / "HEAD").write_text(head + "\n")
    fetch(server, into)
    assert open_repository(into).head.hex() == head


def test_many_packs_become_one(root: Path, server: GitServer, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.git.clone.MAX_PACKS", 2)
    counts = []
    for commits in range(30, 34):
        serve_instead(root, some_history(commits))
        fetch(server, into)
        counts.append(len(packs(into)))
    assert counts == [1, 2, 1, 2]
    assert_is_complete_copy(into, root)


def test_from_scratch_receives_everything_again(root: Path, server: GitServer, into: Path) -> None:
    fetch(server, into)
    pack = into / "objects" / "pack" / packs(into)[0]
    content = pack.read_bytes()
    pack.chmod(0o644)
    pack.write_bytes(content[:40] + bytes(100) + content[140:])
    fetch(server, into, from_scratch=True)
    assert_is_complete_copy(into, root)


def cut_pack(into: Path) -> None:
    for pack in (into / "objects" / "pack").glob("*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(pack.read_bytes()[:-100])


def remove(pattern: str) -> Callable[[Path], None]:
    def removed(into: Path) -> None:
        for path in into.glob(pattern):
            path.unlink()

    return removed


def overwrite(name: str, content: bytes) -> Callable[[Path], None]:
    def overwritten(into: Path) -> None:
        for path in into.glob(name):
            path.chmod(0o644)
            path.write_bytes(content)

    return overwritten


@each_row(
    "damage",
    [
        cut_pack,
        remove("HEAD"),
        remove("config"),
        remove("packed-refs"),
        remove("objects/pack/*.idx"),
        remove("objects/pack/*.pack"),
        remove("objects/pack/*"),
        overwrite("HEAD", b"\xff garbage"),
        overwrite("packed-refs", b"garbage"),
        overwrite("config", b"[[[\xff"),
        overwrite("objects/pack/*.idx", b"garbage" * 1000),
        overwrite("objects/pack/*.pack", b""),
    ],
)
def test_a_damaged_clone_is_received_again(
    root: Path, server: GitServer, into: Path, damage: Callable[[Path], None]
) -> None:
    shutil.rmtree(into, ignore_errors=True)
    fetch(server, into)
    damage(into)
    fetch(server, into)
    assert_is_complete_copy(into, root)


def test_leftovers_of_a_killed_process_are_removed(root: Path, server: GitServer, into: Path) -> None:
    (into.parent / "code.git.part123" / "objects").mkdir(parents=True)
    fetch(server, into)
    (into / "objects" / "pack" / "received.part.pack").write_bytes(b"half")
    (into / "objects" / "pack" / "pack-without-index.pack").write_bytes(b"half")
    (into / "HEAD.part").write_bytes(b"half")
    fetch(server, into)
    assert_is_complete_copy(into, root)
    assert len(packs(into)) == 1


def test_a_folder_that_is_not_a_clone_is_left_alone(server: GitServer, into: Path) -> None:
    into.mkdir(parents=True)
    (into / "thesis.txt").write_text("years of work")
    with pytest.raises(AssayError, match="exists and is not a clone"):
        fetch(server, into)
    assert (into / "thesis.txt").read_text() == "years of work"


def test_an_empty_folder_is_cloned_into(root: Path, server: GitServer, into: Path) -> None:
    into.mkdir(parents=True)
    fetch(server, into)
    assert_is_complete_copy(into, root)


def test_concurrent_processes_take_turns(server: GitServer, into: Path) -> None:
    into.parent.mkdir(parents=True)
    messages: list[str] = []
    with open(into.with_name("code.git.lock"), "ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert_fails(server, into, "another assay process is using", timeout_s=0.1, progress=messages.append)
    assert messages == ["waiting for another assay process to finish with this clone"]
    fetch(server, into)


# Passwords


def test_a_password_is_used_and_never_stored(root: Path, into: Path) -> None:
    messages: list[str] = []
    with serve_git(root, token=TOKEN) as server:
        assert_fails(server, into, "needs a password, or does not exist: set a token")
        assert_fails(server, into, "rejects this password", credentials=("x-access-token", "wrong"))
        fetch(server, into, credentials=CREDENTIALS, progress=messages.append)
        assert_is_complete_copy(into, root)
        assert_fails(server, into, "needs a password")
    assert_is_complete_copy(into, root)
    written = b"".join(path.read_bytes() for path in into.parent.rglob("*") if path.is_file())
    assert TOKEN.encode() not in written + "".join(messages).encode()
    assert b"http" in (into / "config").read_bytes()


def test_a_password_is_sent_to_its_own_host_only(root: Path, into: Path) -> None:
    with serve_git(root) as other, serve_git(root, token=TOKEN) as server:
        server.fault = redirect(other.url + "{path}")
        assert_fails(server, into, "redirects to another host", credentials=CREDENTIALS)
        assert other.requests == []


def test_a_renamed_repository_is_followed(root: Path, server: GitServer, into: Path) -> None:
    (root / "ada" / "code.git").rename(root / "ada" / "renamed.git")

    def moved(path: str, answer: GitResponse) -> GitResponse:
        if path.startswith("/ada/code.git/"):
            return GitResponse(301, {"Location": path.replace("code", "renamed")}, b"")
        return answer

    server.fault = moved
    fetch(server, into)
    assert open_repository(into).head.hex() == git(root / "ada" / "renamed.git", "rev-parse", "HEAD").strip()


# Servers that fail or lie


def body_instead(body: bytes, content_type: str = "application/x-git-upload-pack-result", post: int = 1) -> Fault:
    """Answer the n-th POST with this body: the first requests refs, the second the pack."""
    posts = 0

    def instead(path: str, answer: GitResponse) -> GitResponse:
        nonlocal posts
        posts += path.endswith("/git-upload-pack")
        if posts < post:
            return answer
        return GitResponse(200, {"Content-Type": content_type}, body)

    return instead


def packets(*lines: bytes) -> bytes:
    return b"".join(b"%04x%s" % (len(line) + 4, line) for line in lines) + b"0000"


HEAD_LINE = b"a" * 40 + b" HEAD symref-target:"
NO_PACK = b"PACK\0\0\0\2\0\0\0\0"


@each_row(
    ("fault", "message"),
    [
        (status(403), "these credentials cannot read .*: set a token"),
        (status(404), "there is no repository at .*: check the spelling"),
        (status(407), "the proxy needs a password"),
        (status(429), "not available now .HTTP 429.: try again later"),
        (status(500), "not available now .HTTP 500.: try again later"),
        (status(503), "not available now .HTTP 503.: try again later"),
        (status(418), "responds with HTTP 418"),
        (redirect("https://elsewhere.invalid/ada/code.git/info/refs"), "redirects to another host"),
        (redirect("file:///etc/passwd"), "redirects to another host"),
        (redirect("{path}"), "redirects too many times"),
        (redirect("http://[broken"), "invalid"),
        (cut_after(20, of="info/refs"), "closed the connection too early"),
        (cut_after(30), "closed the connection too early"),
        (body_instead(b"<html>hello</html>", "text/html", post=0), "is not a git repository"),
        (body_instead(b"", post=0), "invalid"),
        (body_instead(b"garbage", post=0), "invalid"),
        (body_instead(b"ffff", post=0), "invalid"),
        (body_instead(packets(b"version 9\n"), post=0), "invalid"),
        (body_instead(b""), "invalid"),
        (body_instead(b"\xff" * 100), "invalid"),
        (body_instead(packets()), "is empty"),
        (body_instead(packets(b"one-word")), "invalid"),
        (body_instead(packets(b"unborn HEAD symref-target:refs/heads/main")), "is empty"),
        (body_instead(packets(b"ERR access denied")), "access denied"),
        (body_instead(packets(b"x" * 40 + b" HEAD")), "invalid"),
        (body_instead(packets(b"a" * 64 + b" HEAD symref-target:refs/heads/main")), "SHA-256"),
        (body_instead(packets(HEAD_LINE + b"refs/heads/../../../../etc/passwd")), "invalid"),
        (body_instead(packets(HEAD_LINE + b"refs/heads/a\nb")), "invalid"),
        (body_instead(packets(HEAD_LINE + b"HEAD")), "invalid"),
        (body_instead(packets(b"packfile\n"), post=2), "an unusable pack"),
        (body_instead(packets(b"packfile\n", b"\1garbage"), post=2), "an unusable pack"),
        (body_instead(packets(b"packfile\n", b"\3disk quota"), post=2), "disk quota"),
        (body_instead(packets(b"packfile\n", b"\7?"), post=2), "invalid"),
        (body_instead(packets(b"packfile\n", b"\1" + PackBuilder().content), post=2), "did not send the head"),
        (body_instead(b"", post=2), "invalid"),
    ],
)
def test_each_server_failure_is_reported_in_one_line(server: GitServer, into: Path, fault: Fault, message: str) -> None:
    shutil.rmtree(into, ignore_errors=True)
    server.fault = fault
    assert_fails(server, into, message)
    assert not into.exists()


@pytest.mark.parametrize("post", [1, 2])
def test_an_interrupted_response_leaves_the_stored_clone_unchanged(
    root: Path, server: GitServer, into: Path, post: int
) -> None:
    fetch(server, into)
    before = open_repository(into).head
    serve_instead(root, some_history(40))
    posts = 0

    def cut(path: str, answer: GitResponse) -> GitResponse:
        nonlocal posts
        posts += path.endswith("/git-upload-pack")
        if posts == post:
            answer.sent_bytes = len(answer.body) - 10
        return answer

    server.fault = cut
    assert_fails(server, into, "closed the connection too early")
    assert open_repository(into).head == before
    server.fault = None
    fetch(server, into)
    assert_is_complete_copy(into, root)


def test_a_server_that_stalls_is_given_up(server: GitServer, into: Path) -> None:
    server.fault = stall(server, 10)
    assert_fails(server, into, "does not respond: try again later", timeout_s=0.2)


def test_a_server_that_sends_too_slowly_is_given_up(
    server: GitServer, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.git.http.SLOW_AFTER_S", -1.0)
    monkeypatch.setattr("pipeline.git.http.MIN_BYTES_PER_S", 1e12)
    assert_fails(server, into, "is sending too slowly")


def test_an_endless_response_is_cut_short(server: GitServer, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.git.http.MAX_OVERHEAD_BYTES", 100_000)
    monkeypatch.setattr("pipeline.git.remote.MAX_OVERHEAD_BYTES", 100_000)
    server.fault = body_instead(packets(*[b"%040x refs/heads/%d" % (n, n) for n in range(10_000)]))
    assert_fails(server, into, "is empty|more than the limit")


def test_a_repository_over_the_size_limit_is_rejected(root: Path, server: GitServer, into: Path) -> None:
    assert_fails(server, into, "larger than the limit of 0 MB: raise the limit", max_bytes=2_000)
    assert not into.exists()
    fetch(server, into, max_bytes=10_000_000)
    serve_instead(root, some_history(100))
    assert_fails(server, into, "larger than the limit", max_bytes=2_000)
    fetch(server, into)
    assert_is_complete_copy(into, root)


def test_a_refused_connection_is_reported(into: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert_fails(GitServer(f"http://127.0.0.1:{free.getsockname()[1]}"), into, "refuses the connection")


def test_an_unknown_host_is_reported(into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **options: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert_fails(GitServer("https://nowhere.invalid"), into, "nowhere.invalid cannot be found: check the URL")


def test_an_unreachable_proxy_is_reported(server: GitServer, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free.getsockname()[1]}")
        assert_fails(server, into, "the proxy blocks")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        fetch(server, into)


def test_a_server_without_tls_is_reported(server: GitServer, into: Path) -> None:
    assert_fails(GitServer(server.url.replace("http:", "https:")), into, "certificate|closed the connection")


def test_an_empty_repository_is_reported(root: Path, server: GitServer, into: Path) -> None:
    shutil.rmtree(root / "ada" / "code.git")
    git(root, "init", "-q", "--bare", "ada/code.git")
    assert_fails(server, into, "is empty: its default branch has no commits yet")
    server.old_protocol = True
    assert_fails(server, into, "is empty")


def test_a_sha256_repository_is_reported(root: Path, server: GitServer, into: Path) -> None:
    shutil.rmtree(root / "ada" / "code.git")
    git(root, "init", "-q", "--object-format=sha256", "work")
    git(root / "work", "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
    git(root, "clone", "-q", "--bare", "work", "ada/code.git")
    assert_fails(server, into, "SHA-256")


# Disks and signals


def clone_with_little_space(server: GitServer, into: Path, max_bytes: int) -> str:
    url = f"{server.url}/ada/code.git"
    message: str = run_limited(children.__name__, "clone_with_little_space", url, str(into), max_bytes)
    return message


@pytest.mark.parametrize("max_bytes", [0, 500, 5_000])
def test_a_full_disk_leaves_no_partial_files(root: Path, server: GitServer, into: Path, max_bytes: int) -> None:
    assert clone_with_little_space(server, into, max_bytes).startswith("no space left in")
    assert_no_partial_files(into)
    assert not into.exists()
    fetch(server, into)
    assert_is_complete_copy(into, root)
    serve_instead(root, some_history(100))
    assert clone_with_little_space(server, into, max_bytes).startswith("no space left in")
    assert git(into, "fsck", "--full") == ""
    fetch(server, into)
    assert_is_complete_copy(into, root)


def test_an_unwritable_folder_is_reported(server: GitServer, into: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pipeline.git.clone._init_bare", denied)
    assert_fails(server, into, "is not writable: set ASSAY_DATA_DIR")


CLONES = """
import sys
from pathlib import Path
from pipeline.git.clone import clone_or_fetch, parse_url
clone_or_fetch(parse_url(sys.argv[1]), Path(sys.argv[2]), timeout_s=20)
"""


@pytest.mark.faults
@pytest.mark.parametrize("stored", [False, True], ids=["first clone", "fetch"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_process_leaves_the_clone_complete_or_absent(
    root: Path, server: GitServer, into: Path, how: signal.Signals, stored: bool
) -> None:
    if stored:
        fetch(server, into)
    larger = some_history(60)
    larger.commit("more than any buffer holds", {"noise": Random(5).randbytes(1_000_000)})
    serve_instead(root, larger)
    posts = 0

    def stall_in_the_pack(path: str, answer: GitResponse) -> GitResponse:
        nonlocal posts
        posts += path.endswith("/git-upload-pack")
        return stall(server, len(answer.body) // 2)(path, answer) if posts == 2 else answer

    server.fault = stall_in_the_pack
    child = subprocess.Popen(
        [sys.executable, "-c", CLONES, f"{server.url}/ada/code.git", str(into)],
        cwd=ROOT, stderr=subprocess.PIPE,
    )  # fmt: skip
    received = "objects/pack/received.part.pack"
    while not any(path.stat().st_size for path in into.parent.glob(f"code.git*/{received}")):
        assert child.poll() is None, child.stderr and child.stderr.read()
        time.sleep(0.02)
    child.send_signal(how)
    _, error = child.communicate(timeout=PATIENCE_S)
    assert child.returncode != 0
    if how is signal.SIGINT:
        assert b"KeyboardInterrupt" in error
    if not stored:
        assert not into.exists()
    else:
        assert git(into, "fsck", "--full") == ""
    server.fault = None
    fetch(server, into)
    assert_is_complete_copy(into, root)
