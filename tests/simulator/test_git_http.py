"""Git over HTTP, with the tokens of installations."""

from __future__ import annotations

import subprocess
from datetime import timedelta

import pytest

from tests.simulator import git_server
from tests.simulator.faults import before, status
from tests.simulator.git_server import cut_after


def clone(world, to, url="", token=None):
    """Clone with git itself; its words where that failed, else nothing."""
    url = url or f"{world.github.url}/acme/shop.git"
    token = world.token if token is None else token
    if token:
        url = url.replace("://", f"://x-access-token:{token}@")
    env = {"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/"}
    done = subprocess.run(["git", "clone", "-q", "--bare", url, str(to)], capture_output=True, text=True, env=env)
    return done.stderr


def info_refs(world, token=None, path="/acme/shop.git"):
    auth = ("x-access-token", token) if token else None
    return world.http.get(f"{world.github.url}{path}/info/refs?service=git-upload-pack", auth=auth)


def test_a_token_clones(world, tmp_path):
    assert clone(world, tmp_path / "clone") == ""
    heads = subprocess.run(["git", "-C", tmp_path / "clone", "rev-parse", "HEAD"], capture_output=True, text=True)
    assert heads.stdout.strip() == world.head


def test_an_empty_repository_clones(world, tmp_path):
    world.installation.add(world.acme.repository("empty", private=True))
    said = clone(world, tmp_path / "clone", f"{world.github.url}/acme/empty.git")
    assert said == "warning: You appear to have cloned an empty repository.\n"


def test_the_next_clone_sees_a_push(world, tmp_path):
    clone(world, tmp_path / "one")
    subprocess.run(
        ["git", "-C", world.shop.git_dir, "update-ref", "refs/heads/main", "refs/heads/feature/x"], check=True
    )
    clone(world, tmp_path / "two")
    heads = subprocess.run(["git", "-C", tmp_path / "two", "rev-parse", "HEAD"], capture_output=True, text=True)
    assert heads.stdout.strip() == world.shop.head("feature/x")


def test_repeated_clones_are_cached(world, monkeypatch):
    info_refs(world, world.token)
    monkeypatch.setattr(git_server, "run_backend", None)
    for _ in range(3):
        assert info_refs(world, world.token).status_code == 200


@pytest.mark.parametrize("token", ["", "ghs_nonsense"])
def test_a_private_repository_requires_a_token(world, token):
    response = info_refs(world, token)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Basic realm="GitHub"'


def test_a_public_repository_accepts_no_wrong_token(world):
    world.shop.publicize()
    assert info_refs(world).status_code == 200
    assert info_refs(world, "ghs_nonsense").status_code == 401


def test_a_token_needs_repository_and_contents_access(world):
    other = world.acme.repository("other", private=True)
    world.installation.add(other)
    assert info_refs(world, world.installation.token(repositories=[other])).status_code == 404
    assert info_refs(world, world.installation.token({"checks": "write"})).status_code == 403
    assert info_refs(world, world.token, "/acme/none.git").status_code == 404


def test_a_suspended_installation_clones_nothing(world):
    world.installation.suspend()
    assert info_refs(world, world.token).status_code == 403


def test_a_renamed_repository_redirects(world, tmp_path):
    world.shop.rename("store")
    response = info_refs(world, world.token)
    assert response.status_code == 301
    assert response.headers["location"] == f"{world.github.url}/acme/store.git/info/refs?service=git-upload-pack"
    assert clone(world, tmp_path / "clone") == ""


def test_a_token_that_expires_in_the_middle_of_a_clone_is_refused(world, tmp_path):
    world.github.fault("POST .*/git-upload-pack", before(lambda: world.clock.advance(timedelta(hours=1))))
    assert "HTTP 401" in clone(world, tmp_path / "clone")


def test_uninstalling_in_the_middle_of_a_clone_ends_it(world, tmp_path):
    world.github.fault("POST .*/git-upload-pack", before(world.installation.uninstall))
    assert "HTTP 401" in clone(world, tmp_path / "clone")


def test_an_interrupted_clone(world, tmp_path):
    world.github.git_fault = cut_after(100)
    assert "bytes remaining to read" in clone(world, tmp_path / "clone")
    world.github.git_fault = None
    world.github.fault("GET .*/info/refs", status(502))
    assert "502" in clone(world, tmp_path / "clone")
    assert clone(world, tmp_path / "clone") == ""


def test_pushing_is_refused(world):
    response = world.http.get(
        f"{world.github.url}/acme/shop.git/info/refs?service=git-receive-pack", auth=("x-access-token", world.token)
    )
    assert response.status_code == 403
