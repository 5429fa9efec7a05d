"""`assay up`, `assay web` and `assay worker` as an operator starts them: real processes, no GitHub needed."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.app_processes import ASSAY, Deployment, deployment, free_port, settings_for, until
from tests.builders.credentials import credentials
from tests.builders.patience import PATIENCE_S

pytestmark = pytest.mark.faults

NOWHERE = "http://127.0.0.1:9"  # nothing listens on the discard port


@pytest.fixture
def assay(tmp_path: Path) -> Iterator[Deployment]:
    """With credentials, and a GitHub that does not answer."""
    with deployment(tmp_path / "app", settings_for(credentials(), tmp_path / "app", NOWHERE, NOWHERE)) as found:
        yield found


@pytest.fixture
def unregistered(tmp_path: Path) -> Iterator[Deployment]:
    folder = tmp_path / "app"
    environment = settings_for(credentials(), folder, NOWHERE, NOWHERE)
    for name in ("ASSAY_APP_ID", "ASSAY_PRIVATE_KEY_FILE", "ASSAY_WEBHOOK_SECRET_FILE"):
        del environment[name]
    with deployment(folder, environment) as found:
        yield found


def refused(deployment: Deployment, *command: str) -> str:
    """The one line with which a command ends that cannot start."""
    done = subprocess.run(
        [ASSAY, *command], env=deployment.environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert (done.returncode, done.stdout) == (2, "")
    return line


def test_up_serves_is_ready_and_ends_tidily(assay: Deployment) -> None:
    process = assay.start("up")
    assay.ready()
    assert [assay.status(path) for path in ("/healthz", "/readyz", "/", "/calibration")] == [200, 200, 200, 200]
    assert [assay.status(path) for path in ("/setup", "/runs/1", "/metrics", "/nothing")] == [404, 404, 404, 404]
    assert process.stop() == 0
    assert assay.status("/healthz") == 0


def test_pages_are_not_there_where_others_can_reach_the_server(assay: Deployment) -> None:
    assay.start("up", "--host", "0.0.0.0")
    assay.ready()
    assert [assay.status(path) for path in ("/", "/repos/acme/shop", "/calibration", "/runs/1")] == [404] * 4


def test_pages_are_not_there_where_a_proxy_stands_before_the_server(assay: Deployment) -> None:
    assay.environment["ASSAY_PUBLIC_URL"] = "https://assay.example"
    assay.start("up")
    assay.ready()
    assert assay.status("/") == 404


def test_pages_are_not_there_for_another_name_of_this_machine(assay: Deployment) -> None:
    """A page of another site can have its name resolved to 127.0.0.1."""
    assay.start("up")
    assay.ready()
    with socket.create_connection(("127.0.0.1", assay.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert connection.makefile("rb").readline().split()[1] == b"404"


def test_without_credentials_it_shows_a_setup_page_to_whoever_has_the_token(unregistered: Deployment) -> None:
    process = unregistered.start("up")
    unregistered.ready()
    until("the address of the setup page", lambda: "/setup?token=" in process.said())
    found = re.search(r"Open (http://127\.0\.0\.1:\d+)(/setup\?token=\S+)", process.said())
    assert found is not None
    assert found[1] == unregistered.url
    assert unregistered.status(found[2]) == 200
    assert [unregistered.status(path) for path in ("/setup", "/setup?token=wrong", "/setup/callback")] == [404] * 3
    assert unregistered.status("/webhook") == 405
    assert process.stop() == 0


def test_metrics_have_an_address_of_their_own(assay: Deployment) -> None:
    port = free_port()
    assay.environment["ASSAY_METRICS_ADDRESS"] = f"127.0.0.1:{port}"
    assay.start("up")
    assay.ready()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert "assay_store_up 1.0" in answer.read().decode()


def test_metrics_beyond_this_machine_need_a_token(assay: Deployment, tmp_path: Path) -> None:
    port, token = free_port(), tmp_path / "token"
    token.write_text("s3cret\n")
    assay.environment |= {"ASSAY_METRICS_ADDRESS": f"0.0.0.0:{port}", "ASSAY_METRICS_TOKEN_FILE": str(token)}
    process = assay.start("up")
    assay.ready()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=5)
    request.add_header("Authorization", "Bearer s3cret")
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert "assay_store_up 1.0" in answer.read().decode()
    assert process.stop() == 0
    del assay.environment["ASSAY_METRICS_TOKEN_FILE"]
    process = assay.start("up")
    assay.ready()
    until("the warning", lambda: "metrics_for_this_machine_only" in process.said())


def test_pages_are_not_there_for_a_proxy_that_names_nobody(assay: Deployment) -> None:
    """What nginx sends with `proxy_pass` alone: the name of this machine, and not whom it forwards."""
    pages = free_port()
    assay.environment["ASSAY_PAGES_ADDRESS"] = f"127.0.0.1:{pages}"
    assay.start("up")
    assay.ready()
    for version in ("1.0", "1.1"):
        with socket.create_connection(("127.0.0.1", assay.port), PATIENCE_S) as connection:
            ask = f"GET / HTTP/{version}\r\nHost: 127.0.0.1:{assay.port}\r\nConnection: close\r\n\r\n"
            connection.sendall(ask.encode())
            lines = connection.makefile("rb").read().decode().splitlines()
        assert lines[0].split()[1] == "307"
        assert f"location: http://127.0.0.1:{pages}/" in lines
    with urllib.request.urlopen(f"http://127.0.0.1:{pages}/calibration", timeout=5) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ASSAY_METRICS_ADDRESS", "9464", "ASSAY_METRICS_ADDRESS: must be an address with a port"),
        ("ASSAY_PAGES_ADDRESS", "0.0.0.0:8001", "ASSAY_PAGES_ADDRESS: must be a loopback address"),
        ("ASSAY_REDIS_URL", "127.0.0.1:6379", "ASSAY_REDIS_URL is not the URL of a Redis"),
        ("ASSAY_ALLOWED_ACCOUNT", "acme", "did you mean ASSAY_ALLOWED_ACCOUNTS?"),
        ("ASSAY_TRUSTED_PROXIES", "proxy.internal", "ASSAY_TRUSTED_PROXIES: must be addresses or networks"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_one_line(assay: Deployment, variable: str, value: str, says: str) -> None:
    assay.environment[variable] = value
    assert says in refused(assay, "up", "--port", str(assay.port))


def test_with_json_one_object_says_where_it_is(assay: Deployment) -> None:
    process = subprocess.Popen(
        [ASSAY, "up", "--port", "0", "--json"], env=assay.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["address"].startswith("http://127.0.0.1:")
        assert (told["works"], told["registered"]) == (True, True)
    finally:
        process.terminate()
        assert process.wait(20) == 0
        process.stdout.close()  # type: ignore[union-attr]


@pytest.mark.parametrize("command", ["web", "worker"])
def test_parts_that_cannot_meet_say_what_to_set(assay: Deployment, command: str) -> None:
    subprocess.run([ASSAY, "migrate"], env=assay.environment, check=True, capture_output=True)
    assert "ASSAY_REDIS_URL is not set" in refused(assay, command)


def test_parts_do_not_start_on_an_empty_database(assay: Deployment) -> None:
    assay.environment["ASSAY_REDIS_URL"] = "redis://127.0.0.1:9/0"
    assert "the database is empty: run `assay migrate`" in refused(assay, "worker")


def test_a_port_that_is_taken_is_one_line(assay: Deployment) -> None:
    with socket.create_server(("127.0.0.1", assay.port)):
        assert f"port {assay.port} (Address already in use)" in refused(assay, "up", "--port", str(assay.port))


def test_two_at_once_over_one_data_folder_are_told_so(assay: Deployment) -> None:
    assay.start("up")
    assay.ready()
    assert "another assay already uses" in refused(assay, "up", "--port", "0")


def test_credentials_that_are_half_given_are_one_line(assay: Deployment) -> None:
    del assay.environment["ASSAY_APP_ID"]
    assert "ASSAY_APP_ID" in refused(assay, "up", "--port", str(assay.port))


def test_the_web_process_loads_nothing_that_only_a_worker_or_a_gpu_needs(assay: Deployment) -> None:
    script = (
        "import asyncio, sys\n"
        "import bot.cli.server.up, bot.cli.server.serve, bot.cli.server.setup_server\n"
        "import bot.web_process, bot.jobs.wakeups, bot.web.pages\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **assay.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"torch", "transformers", "peft", "numpy", "scipy", "sklearn", "pyarrow", "dulwich", "tree_sitter"}
    assert heavy.intersection(done.stdout.split()) == set()
