"""The simulator as a separate process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulator.control import RemoteGitHub
from tests.simulator.world import shop_history

ROOT = Path(__file__).parents[2]


def test_another_process_can_control_the_simulator(tmp_path):
    git_dir = shop_history().write(tmp_path / "shop.git")
    command = [sys.executable, "-m", "tests.simulator.serve", str(tmp_path), "--faster", "60"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        remote = RemoteGitHub(json.loads(process.stdout.readline())["url"])
        app = remote.do("register_app")
        assert "PRIVATE KEY" in app["private_key"]
        remote.do("repositories", account="acme", repositories=[{"name": "shop", "git_dir": str(git_dir)}])
        installation_id = remote.do("install", app_id=app["app_id"], account="acme")["installation_id"]
        remote.do("act", repository="acme/shop", act="pushed")
        remote.do("installation", installation_id=installation_id, act="suspend")
        remote.do("fault", match="GET .*", status=502)
        assert remote.do("check_runs") == []
        assert remote.do("figures")["violations"] == []
        with pytest.raises(RuntimeError, match="AssertionError: __init__"):
            remote.do("act", repository="acme/shop", act="__init__")
        with pytest.raises(RuntimeError, match="one of act"):
            remote.do("nothing")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_control_is_off_in_tests(world):
    with pytest.raises(RuntimeError, match="no such page"):
        RemoteGitHub(world.github.url).do("figures")
