import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from bot.cli.main import run
from bot.cli.server.setup_server import listen, local_address
from bot.github.credentials import credentials_path, load_credentials, save_credentials
from bot.records import AppCredentials
from pipeline.records import AssayError
from tests.builders.credentials import private_key
from tests.builders.patience import PATIENCE_S
from tests.simulator.faults import status
from tests.simulator.github import GitHub, serve_github


@pytest.fixture
def data_dir() -> Path:
    return Path(os.environ["ASSAY_DATA_DIR"])


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    with serve_github(tmp_path / "github") as serving:
        monkeypatch.setenv("ASSAY_GITHUB_URL", serving.url)
        yield serving


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A private key and a webhook secret, each in a file."""
    (tmp_path / "key.pem").write_text(private_key())
    (tmp_path / "secret").write_text("s3cret\n")
    return str(tmp_path / "key.pem"), str(tmp_path / "secret")


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, object]:
    """The JSON of `assay setup`."""
    capsys.readouterr()
    assert run(["setup", "--json", *arguments]) == code
    written = capsys.readouterr()
    result: dict[str, object] = json.loads(written.out)
    assert "s3cret" not in written.out + written.err
    assert "PRIVATE KEY" not in written.out + written.err
    return result


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """`assay setup` in a process of its own, and the address that it prints."""
    script = "import sys; from bot.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "setup", "--port", "0", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline() == "No App is registered yet.\n"
    line = process.stderr.readline()
    assert line.startswith("Open http://127.0.0.1:"), line
    return process, line.removeprefix("Open ").strip()


def test_without_credentials_it_serves_the_page_until_the_app_is_registered(github: GitHub, data_dir: Path) -> None:
    process, address = start("--json")
    try:
        with httpx.Client() as browser:
            assert browser.get(address.partition("?")[0]).status_code == 404
            assert browser.get(address).status_code == 200
            chosen = {"owner": "account", "subset": "screen", "name": "Assay acme"}
            page = browser.post(address, data=chosen).text
            (form,) = re.findall(r'action="([^"]+)"', page)
            assert form.startswith(f"{github.url}/settings/apps/new?state=")
            (state,) = parse_qs(urlsplit(form).query)["state"]
            app = github.register_app(name="Assay acme")
            code = secrets.token_hex(20)
            github.registrations.codes[code] = (app, github.clock.now())
            back = browser.get(address.partition("?")[0] + f"/callback?code={code}&state={state}")
            assert back.status_code == 200
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, err) == (0, "")
    result = json.loads(out)
    assert (result["ok"], result["app_id"], result["slug"]) == (True, app.app_id, "assay-acme")
    assert result["install_url"] == f"{github.url}/github-apps/assay-acme/installations/new"
    assert load_credentials(data_dir) == app.credentials


@pytest.mark.faults
def test_ctrl_c_is_not_reported_as_a_bug(github: GitHub, data_dir: Path) -> None:
    process, address = start()
    httpx.get(address)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (130, "", "assay: interrupted\n")
    assert not credentials_path(data_dir).exists()


def test_a_port_in_use_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["setup", "--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1, port {port} (Address already in use)" in capsys.readouterr().err


def test_a_folder_readable_by_others_is_refused_before_registration(
    capsys: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    data_dir.mkdir(parents=True)
    data_dir.chmod(0o755)
    assert run(["setup", "--port", "0"]) == 2
    assert "chmod 700" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:"), ("localhost", "http://"), ("0.0.0.0", "http://127.0.0.1:")],
)
def test_the_address_can_be_opened_in_a_browser(host: str, address: str) -> None:
    with listen(host, 0) as listening:
        assert re.fullmatch(re.escape(address) + r"(127\.0\.0\.1:|\[::1\]:)?[1-9]\d+", local_address(listening))


def test_an_invalid_host_is_one_line() -> None:
    with pytest.raises(AssayError, match="choose another with --host and --port"):
        listen("no-such-host.invalid", 0)


def test_an_existing_app_is_imported_and_shown(
    github: GitHub, capsys: pytest.CaptureFixture[str], data_dir: Path, tmp_path: Path
) -> None:
    app = github.register_app(name="Assay acme")
    (tmp_path / "key.pem").write_text(app.private_key)
    (tmp_path / "secret").write_text(f"{app.webhook_secret}\n")
    given = ("--import", str(tmp_path / "key.pem"), "--webhook-secret-file", str(tmp_path / "secret"))
    result = told(capsys, *given, "--app-id", str(app.app_id))
    assert result == told(capsys)
    assert (result["ok"], result["name"], result["source"]) == (True, "Assay acme", str(credentials_path(data_dir)))
    assert load_credentials(data_dir) == AppCredentials(app.app_id, app.private_key, (app.webhook_secret,))


def test_a_new_secret_is_stored_beside_the_old_one(
    github: GitHub, capsys: pytest.CaptureFixture[str], data_dir: Path, files: tuple[str, str]
) -> None:
    old = AppCredentials(7, private_key(), ("older", "oldest"), "Iv1.a", "client-s3cret", "assay-acme")
    save_credentials(data_dir, old)
    key, secret = files
    for secrets_then in (("s3cret", "older"), ("s3cret",)):
        told(capsys, "--import", key, "--app-id", "7", "--webhook-secret-file", secret, code=1)
        assert load_credentials(data_dir) == replace(old, webhook_secrets=secrets_then)


def test_an_import_that_would_lose_or_change_nothing_is_refused(
    capsys: pytest.CaptureFixture[str], data_dir: Path, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key, secret = files
    for arguments in (["--import", key], ["--app-id", "7"], ["--webhook-secret-file", secret]):
        assert "all three are required" in str(told(capsys, *arguments, code=2)["error"])
    assert "is not a private key" in str(
        told(capsys, "--import", secret, "--app-id", "7", "--webhook-secret-file", secret, code=2)["error"]
    )
    save_credentials(data_dir, AppCredentials(8, private_key(), ("x",)))
    all_three = ("--import", key, "--app-id", "7", "--webhook-secret-file", secret)
    assert "App 8 is already stored" in str(told(capsys, *all_three, code=2)["error"])
    monkeypatch.setenv("ASSAY_APP_ID", "9")
    assert "the environment sets an App" in str(told(capsys, *all_three, code=2)["error"])


def test_the_environment_overrides_and_is_named(
    github: GitHub, capsys: pytest.CaptureFixture[str], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = github.register_app(name="Assay acme")
    save_credentials(data_dir, AppCredentials(8, private_key(), ("x",)))
    credentials_path(data_dir).chmod(0o644)  # not even looked at
    monkeypatch.setenv("ASSAY_APP_ID", str(app.app_id))
    assert "ASSAY_PRIVATE_KEY" in str(told(capsys, code=2)["error"])
    monkeypatch.setenv("ASSAY_PRIVATE_KEY", app.private_key.replace("\n", "\\n"))
    monkeypatch.setenv("ASSAY_WEBHOOK_SECRET", app.webhook_secret)
    result = told(capsys)
    assert (result["app_id"], result["source"], result["ok"]) == (app.app_id, "the environment", True)


def test_an_app_that_github_does_not_confirm_is_shown_with_advice(
    github: GitHub, capsys: pytest.CaptureFixture[str], data_dir: Path
) -> None:
    app = github.register_app()
    save_credentials(data_dir, replace(app.credentials, private_key=private_key(77)))
    result = told(capsys, code=1)
    assert (result["ok"], result["app_id"]) == (False, app.app_id)
    assert "App ID and key" in str(result["to_do"])
    save_credentials(data_dir, app.credentials)
    github.fault("GET /app", status(500))
    assert run(["setup"]) == 1
    out = capsys.readouterr().out
    assert "GitHub does not confirm it: GitHub returned HTTP 500" in out
    assert "ASSAY_GITHUB_API_URL" in out


def test_the_text_says_where_to_install_it(github: GitHub, capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    save_credentials(data_dir, github.register_app(name="Assay acme").credentials)
    assert run(["setup"]) == 0
    out = capsys.readouterr().out
    assert f"Install it: {github.url}/github-apps/assay-acme/installations/new" in out
    assert "assay up" in out


def test_forgetting_asks_unless_yes_is_given(capsys: pytest.CaptureFixture[str], data_dir: Path) -> None:
    save_credentials(data_dir, AppCredentials(8, private_key(), ("x",)))
    assert "confirm with --yes" in str(told(capsys, "--forget", code=2)["error"])
    assert credentials_path(data_dir).exists()
    assert told(capsys, "--forget", "--yes")["forgotten"] is True
    assert not credentials_path(data_dir).exists()
    assert told(capsys, "--forget", "--yes")["forgotten"] is False
