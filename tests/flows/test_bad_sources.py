"""What a person may write where PATH|URL stands, and what may answer there."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.git.clone import clone_or_fetch
from tests.builders.broken import HEALTHY_DENSITY, git
from tests.flows.command import Assay, line_of
from tests.simulator.git_server import Fault, GitResponse, GitServer, cut_after, redirect, stall, status


@pytest.fixture
def server(forge: GitServer, monkeypatch: pytest.MonkeyPatch) -> GitServer:
    """A forge that nobody waits for long."""
    monkeypatch.setattr("bot.cli.repository_source.clone_or_fetch", functools.partial(clone_or_fetch, timeout_s=0.5))
    return forge


def assert_nothing_half_made(assay: Assay) -> None:
    clones = assay.data_dir / "clones"
    assert {path.suffix for path in clones.glob("*")} <= {".lock"}


# No repository


def a_file(folder: Path) -> str:
    (folder / "notes.txt").write_text("no repository")
    return f"{folder}/notes.txt"


def a_loop(folder: Path) -> str:
    (folder / "loop").symlink_to("loop")
    return f"{folder}/loop"


def a_folder(folder: Path) -> str:
    (folder / "plain").mkdir()
    return f"{folder}/plain"


def a_worktree_without_its_repository(folder: Path) -> str:
    (folder / "lost").mkdir()
    (folder / "lost" / ".git").write_text("gitdir: /nowhere/.git/worktrees/lost\n")
    return f"{folder}/lost"


PLACES = {
    "nothing": (lambda folder: f"{folder}/nothing", "does not exist: give the path of a git repository"),
    "a file": (a_file, "is a file: give the folder of a git repository"),
    "a loop": (a_loop, "give the folder of a git repository"),
    "a folder": (a_folder, "is not a git repository: give the path of a clone"),
    "a lost work tree": (a_worktree_without_its_repository, "clone it again"),
    "a name longer than any": (lambda folder: f"{folder}/{'n' * 300}", "does not exist"),
    "control characters": (lambda folder: f"{folder}/\x1b[31m\n\u202e", "does not exist"),
    "no text at all": (lambda folder: "", "missing repository: give a path"),
    "an unknown home": (lambda folder: "~nobody-of-that-name/code", "does not exist"),
}


@pytest.mark.parametrize(("place", "says"), PLACES.values(), ids=PLACES)
def test_a_path_that_is_no_repository_is_refused(
    assay: Assay, tmp_path: Path, place: Callable[[Path], str], says: str
) -> None:
    assert says in assay.refuses(place(tmp_path))


# No address


@pytest.mark.parametrize("option", ["--upload-pack=x", "-x", "--upload-pack=touch /tmp/x;", "-oProxyCommand=x"])
def test_an_option_is_no_source(assay: Assay, option: str) -> None:
    assert assay.refuses(option).startswith(f"{option} is an option, not a URL: give https://")
    assert line_of(assay.runs("screen", "--json", option)).startswith("No such option: ")


@pytest.mark.parametrize(
    "address",
    [
        "ext::sh -c touch% /tmp/x",
        "ext::https://example.org/a/b",
        "file:///etc",
        "git://example.org/a/b",
        "ssh://git@example.org/a/b",
        "git@example.org:a/b",
    ],
)
def test_another_scheme_is_refused(assay: Assay, address: str) -> None:
    assert "give https://host/owner/name" in assay.refuses(address)


@pytest.mark.parametrize("secret", ["ghp_s3cr3t@", "ada:s3cr3t@", "x-access-token:s3cr3t@"])
def test_a_password_in_an_address_is_refused_and_not_repeated(assay: Assay, secret: str) -> None:
    said = assay.refuses(f"https://{secret}example.org/a/b")
    assert "remove it" in said
    assert "s3cr3t" not in said


# No answer, or none that helps


def test_a_repository_behind_an_address_is_screened_as_one_on_this_machine(assay: Assay, server: GitServer) -> None:
    for _ in range(2):
        assert assay.judges(f"{server}/ada/code.git")["density"] == HEALTHY_DENSITY


def test_nobody_listening_is_one_line(assay: Assay, server: GitServer) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        said = assay.refuses(f"http://127.0.0.1:{free.getsockname()[1]}/ada/code.git")
    assert said.endswith("refuses the connection: check the URL and the network")
    assert_nothing_half_made(assay)


def a_page(path: str, answer: GitResponse) -> GitResponse:
    return GitResponse(200, {"Content-Type": "text/html"}, b"<h1>It works!</h1>")


FAULTS = {
    "a password": (status(401, {"WWW-Authenticate": "Basic"}), "needs a password, or does not exist: set a token"),
    "no rights": (status(403), "with read access to its contents"),
    "nothing there": (status(404), "there is no repository at"),
    "out of order": (status(503), "is not available now (HTTP 503): try again later"),
    "elsewhere": (redirect("http://127.0.0.2{path}"), "redirects to another host"),
    "in circles": (redirect("{path}"), "redirects too many times"),
    "a web page": (a_page, "is not a git repository: check the URL"),
    "half a pack": (cut_after(600), "closed the connection too early: try again"),
}


@pytest.mark.parametrize(("fault", "says"), FAULTS.values(), ids=FAULTS)
def test_a_server_that_does_not_help_is_one_line(assay: Assay, server: GitServer, fault: Fault, says: str) -> None:
    server.fault = fault
    assert says in assay.refuses(f"{server}/ada/code.git")
    assert_nothing_half_made(assay)
    server.fault = None
    assert assay.judges(f"{server}/ada/code.git")["density"] == HEALTHY_DENSITY


def test_a_server_that_never_answers_is_given_up(assay: Assay, server: GitServer) -> None:
    server.fault = stall(server)
    assert "does not respond: try again later" in assay.refuses(f"{server}/ada/code.git")
    assert_nothing_half_made(assay)


def test_a_server_that_fails_once_there_is_a_clone_leaves_the_clone_as_it_was(
    assay: Assay, server: GitServer, tmp_path: Path
) -> None:
    assay.judges(f"{server}/ada/code.git")
    (clone,) = (assay.data_dir / "clones").glob("*.git")
    server.fault = status(401)
    assert "needs a password" in assay.refuses(f"{server}/ada/code.git")
    assert git(clone, "fsck", "--full") == ""
    server.fault = None
    assert assay.judges(f"{server}/ada/code.git")["density"] == HEALTHY_DENSITY


def test_an_empty_repository_behind_an_address_is_refused(assay: Assay, server: GitServer, tmp_path: Path) -> None:
    git(tmp_path / "forge", "init", "-q", "--bare", "ada/empty.git")
    assert "is empty: its default branch has no commits yet" in assay.refuses(f"{server}/ada/empty.git")
    assert_nothing_half_made(assay)


def test_what_is_in_the_way_of_a_clone_is_named_and_left_alone(assay: Assay, server: GitServer) -> None:
    assay.judges(f"{server}/ada/code.git")
    (clone,) = (assay.data_dir / "clones").glob("*.git")
    clone.rename(clone.with_name("away"))
    clone.write_text("mine")
    assert "exists and is not a clone: move it away" in assay.refuses(f"{server}/ada/code.git")
    assert clone.read_text() == "mine"
