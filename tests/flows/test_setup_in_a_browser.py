"""The set-up as a person clicks through it, in a headless chromium that runs no JavaScript (`make test-browser`).

`assay setup` runs in a process of its own; GitHub is the simulator. Nothing is skipped: without a browser this fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from bot.cli.server.setup_server import listen, local_address, make_setup_state
from bot.github.credentials import credentials_path, load_credentials
from bot.records import AppCredentials
from bot.settings import load_settings
from bot.setup.page import setup_app
from bot.web_process import make_server
from tests.builders.patience import PATIENCE_S
from tests.simulator.faults import status
from tests.simulator.github import GitHub, serve_github

pytestmark = pytest.mark.browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIETLY = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE_MS = 15_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    sync_playwright = import_module("playwright.sync_api").sync_playwright  # `make test-browser` installs it
    place = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    assert place, "make test-browser needs chromium (Debian: apt install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=list(QUIETLY))
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page without JavaScript, on which nothing is blocked or fails silently."""
    context = chromium.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE_MS)
    shown = context.new_page()
    complaints: list[str] = []
    shown.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield shown
    context.close()
    assert [said for said in complaints if "Content Security Policy" in said or "Refused" in said] == []


@pytest.fixture(params=["api.github.com", "ghes-3.19"])
def github(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    with serve_github(tmp_path / "github", description=request.param) as serving:
        monkeypatch.setenv("ASSAY_GITHUB_URL", serving.url)
        yield serving


@dataclass
class Setup:
    """`assay setup --json`, running."""

    process: subprocess.Popen[str]
    address: str  # with the token

    @property
    def without_token(self) -> str:
        return self.address.partition("?")[0]

    def result(self) -> dict[str, Any]:
        """What it says when it ends by itself."""
        out, err = self.process.communicate(timeout=PATIENCE_S)
        assert (self.process.returncode, err) == (0, "")
        result: dict[str, Any] = json.loads(out)
        return result


@pytest.fixture
def setup(github: GitHub) -> Iterator[Setup]:
    command = [sys.executable, "-c", "from bot.cli.main import main; main()", "setup", "--json", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        assert process.stderr.readline() == "No App is registered yet.\n"
        found = re.fullmatch(r"Open (http://127\.0\.0\.1:\d+/setup\?token=\S+)\n", process.stderr.readline())
        assert found
        yield Setup(process, found[1])
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def data_dir() -> Path:
    return Path(os.environ["ASSAY_DATA_DIR"])


@contextlib.contextmanager
def a_server_that_goes_on() -> Iterator[tuple[str, list[AppCredentials]]]:
    """The setup page as `assay up` has it: the address with the token, and whose credentials came."""
    registered: list[AppCredentials] = []
    with listen("127.0.0.1", 0) as listening:
        local_url = local_address(listening)
        state = make_setup_state(load_settings(), local_url, registered.append, "Assay works with it now.")
        server = make_server(setup_app(state), *listening.getsockname()[:2])
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield local_url + state.path, registered
        finally:
            server.should_exit = True
            thread.join()


def open_page(page: Any, address: str) -> int:
    response = page.goto(address)
    assert response is not None
    return int(response.status)


def choose(page: Any, subset: str = "screen", name: str = "Assay of a person", organization: str = "") -> None:
    """Fill in the first page, as far as it differs from what is chosen already, and look at the second."""
    if organization:
        page.get_by_label("An organization:").check()
        page.get_by_label("Organization name").fill(organization)
    if subset != "screen":
        page.locator(f'input[name=subset][value="{subset}"]').check()
    page.get_by_label("What is the App called?").fill(name)
    page.get_by_role("button", name="Review the registration").click()


def confirm(page: Any, owner: str) -> None:
    """Go to GitHub and press its button."""
    page.get_by_role("button", name="Continue on GitHub").click()
    page.get_by_role("button", name=f"Create GitHub App for {owner}").click()


@pytest.mark.parametrize(
    ("organization", "subset", "permissions"),
    [
        ("", "screen", {"checks": "write", "contents": "read", "metadata": "read"}),
        (
            "acme",
            "full",
            {"checks": "write", "contents": "read", "issues": "write", "metadata": "read", "pull_requests": "read"},
        ),
    ],
)
def test_an_app_is_registered_for_a_person_or_an_organization(
    github: GitHub, setup: Setup, page: Any, data_dir: Path, organization: str, subset: str, permissions: dict[str, str]
) -> None:
    assert open_page(page, setup.address) == 200
    choose(page, subset, organization=organization)
    assert page.get_by_role("heading", level=1).inner_text().startswith("Register “Assay of a person”")
    confirm(page, organization or "octocat")

    assert page.get_by_role("heading", level=1).inner_text() == "Assay is registered"
    install = f"{github.url}/github-apps/assay-of-a-person/installations/new"
    assert page.get_by_role("link", name="Install the App").get_attribute("href") == install
    (app,) = github.apps.values()
    assert (app.owner.login, app.public) == (organization or "octocat", False)
    assert (app.permissions, "issue_comment" in app.events) == (permissions, subset == "full")
    assert app.webhook_url == setup.without_token.removesuffix("/setup") + "/webhook"

    result = setup.result()
    assert (result["ok"], result["app_id"], result["install_url"]) == (True, app.app_id, install)
    assert load_credentials(data_dir) == app.credentials
    assert credentials_path(data_dir).stat().st_mode & 0o777 == 0o600


def test_a_server_that_goes_on_has_no_setup_page_any_more(github: GitHub, page: Any) -> None:
    with a_server_that_goes_on() as (address, registered):
        open_page(page, address)
        choose(page)
        confirm(page, "octocat")
        assert "Assay works with it now." in page.content()
        assert registered == [next(iter(github.apps.values())).credentials]
        callback = page.url
        for gone in (address, address.partition("?")[0], callback):
            assert open_page(page, gone) == 404
            assert page.locator("body").inner_text() == "Not Found"


def test_whoever_lacks_the_token_finds_nothing(github: GitHub, setup: Setup, page: Any) -> None:
    for address in (setup.without_token, f"{setup.without_token}?token=guess", f"{setup.without_token}/callback"):
        assert open_page(page, address) == 404
        assert "Assay" not in page.content()
    assert open_page(page, setup.address) == 200


def test_a_wrong_choice_and_a_name_that_is_taken_can_be_mended(github: GitHub, setup: Setup, page: Any) -> None:
    github.register_app(name="Taken")
    open_page(page, setup.address)
    choose(page, name="Taken", organization="not an organization")
    assert "Enter the organization's name" in page.get_by_role("alert").inner_text()
    page.get_by_label("My account").check()
    page.get_by_role("button", name="Review the registration").click()
    confirm(page, "octocat")
    assert "already taken" in page.content()
    open_page(page, setup.address)
    choose(page, name="Not taken")
    confirm(page, "octocat")
    assert page.get_by_role("heading", level=1).inner_text() == "Assay is registered"
    assert setup.result()["name"] == "Not taken"


def test_an_answer_is_good_once_and_a_failure_leaves_the_page_open(github: GitHub, setup: Setup, page: Any) -> None:
    github.fault("POST /app-manifests/.*", status(500))
    open_page(page, setup.address)
    choose(page, name="First")
    confirm(page, "octocat")
    assert "GitHub returned HTTP 500" in page.get_by_role("alert").inner_text()
    assert open_page(page, page.url) == 404  # the same answer once more
    open_page(page, setup.address)
    choose(page, name="Second")
    confirm(page, "octocat")
    assert page.get_by_role("heading", level=1).inner_text() == "Assay is registered"
    assert setup.result()["name"] == "Second"


def test_the_page_is_dressed_although_it_may_load_nothing(github: GitHub, setup: Setup, page: Any) -> None:
    open_page(page, setup.address)
    cards = [card.bounding_box() for card in page.locator(".card").all()]
    assert len({box["y"] for box in cards}) == 1, "three cards beside each other"
    page.set_viewport_size({"width": 360, "height": 740})
    widths = [card.bounding_box()["width"] for card in page.locator("fieldset").all()]
    assert max(widths) <= 360, "nothing sticks out of a small screen"
