import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from starlette.applications import Starlette

from bot.records import Installation, Repository, StoredScreening
from bot.store.installations import save_installation
from bot.store.repositories import note_error, save_repository
from bot.store.screenings import save_screening
from bot.web.page_source import ROWS_PER_PAGE, PageSource
from bot.web.pages import page_routes
from bot.web.views import UNREADABLE, read_screening
from tests.bot.messages.screenings import MEASURED_AT, MEASUREMENT, at_density, failed, screened
from tests.bot.receiver.asgi import Exchange, get
from tests.bot.store.conftest import Store
from tests.rows import each_row

PRINTABLE = "<script>alert(1)</script></title></style>&amp;\"'"
HOSTILE = "<script>alert(1)</script>\u202e\x1b[31m\n{{ 7*7 }}</title></style>&amp;\"'"


class Site:
    """A server's pages, over a database that a test fills."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.app = Starlette(routes=page_routes(PageSource(store.database)))
        store(save_installation, Installation(10, 1, "acme", "Organization", "active", {}), MEASURED_AT)

    def has(self, full_name: str = "acme/shop", repository_id: int = 100, **changes: Any) -> None:
        described = Repository(10, repository_id, full_name, "main", private=True, archived=False)
        self.store(save_repository, dataclasses.replace(described, **changes))

    def screens(self, stored: StoredScreening, repository_id: int = 100) -> None:
        fields = dataclasses.asdict(stored)
        del fields["screening_id"]
        self.store(save_screening, **{**fields, "repository_id": repository_id})

    def get(self, path: str, **how: Any) -> Exchange:
        return self.store.run(get(self.app, path, **how))

    def page(self, path: str) -> str:
        answer = self.get(path)
        assert answer.status == 200
        check_page(answer)
        return re.sub(r"\s+", " ", answer.text.split("</style>")[-1])


@pytest.fixture
def site(store: Store) -> Site:
    return Site(store)


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def check_page(answer: Exchange) -> None:
    """Check for scripts, external resources and cookies, and for a policy that forbids them."""
    found = Tags(answer.text)
    assert not found.tags & {"script", "iframe", "object", "embed", "img", "form", "link", "base"}
    assert not {name for name in found.attributes if name.startswith("on")} | (found.attributes & {"style", "src"})
    assert "set-cookie" not in answer.headers
    styles = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in styles]
    assert answer.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digests[0]}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    assert len(digests) == 1
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", answer.text)


# The list


def test_an_empty_server_says_what_to_do(site: Site) -> None:
    assert "Install the App on an account" in site.page("/")


def test_the_list_shows_verdict_reason_and_last_error(site: Site) -> None:
    site.has()
    site.has("acme/empty", 101)
    site.has("acme/broken", 102)
    site.screens(screened())
    site.screens(failed("the clone is larger than 4096 MB"), 102)
    site.store(note_error, 10, 101, "GitHub answered 502")
    page = site.page("/")
    assert '<a href="/repos/acme/shop">' in page
    assert "worth trying (RUN)" in page
    assert "0.0394" in page
    assert "2026-11-22 12:00" in page
    assert "not screened yet" in page
    assert "GitHub answered 502" in page
    assert page.count("the clone is larger than 4096 MB") == 1


def test_a_long_list_is_paged(site: Site) -> None:
    for number in range(ROWS_PER_PAGE + 1):
        site.has(f"acme/r{number:04}", 1_000 + number)
    first, second = site.page("/"), site.page("/?page=2")
    assert "Page 1 of 2" in first
    assert f"r{ROWS_PER_PAGE:04}" not in first
    assert f"r{ROWS_PER_PAGE:04}" in second
    assert "There are no more" in site.page("/?page=3")


@each_row("number", ["", "x", "-1", "1.5", "9999999", "٣", "1%00"])
def test_invalid_page_numbers_are_not_found(site: Site, number: str) -> None:
    assert site.get(f"/?page={number}").status == 404


# One repository


def test_a_repository_page_shows_its_newest_screening(site: Site) -> None:
    site.has()
    site.screens(screened(at_density(0.001)))
    site.screens(screened())
    page = site.page("/repos/ACME/Shop")
    for shown in ("Worth trying (RUN)", "0.0394", "0.0331 to 0.0462", "0.0193", "4,210", "vuejs/core", "83 %"):
        assert shown in page
    assert "shallow clone: 1f0c2ab counts as the first commit" in page
    assert "Counter-examples: <bdi>acme/rocket</bdi>" in page


def test_a_failed_screening_shows_its_reason(site: Site) -> None:
    site.has()
    site.screens(failed("the history could not be read: objects are missing"))
    assert "the history could not be read: objects are missing" in site.page("/repos/acme/shop")


def test_a_repository_without_functions_has_no_density(site: Site) -> None:
    site.has()
    site.screens(screened(dataclasses.replace(MEASUREMENT, density=None, evidence={})))
    assert "there are no functions to measure" in site.page("/repos/acme/shop")


def test_a_screening_of_another_version_breaks_no_page(site: Site) -> None:
    site.has()
    site.screens(dataclasses.replace(screened(), measurement={"density": "?"}))
    for path in ("/", "/repos/acme/shop"):
        assert UNREADABLE in site.page(path)
    assert "No repository has a verdict yet" in site.page("/calibration")
    assert read_screening(dataclasses.replace(screened(), judgement={})).failure == UNREADABLE


def test_hostile_repository_text_is_inert(site: Site) -> None:
    site.has("acme/shop", default_branch=HOSTILE)
    site.has(HOSTILE, 101)
    site.screens(failed(HOSTILE))
    site.screens(
        dataclasses.replace(screened(dataclasses.replace(MEASUREMENT, notes=(PRINTABLE,), repo=PRINTABLE))), 101
    )
    site.store(note_error, 10, 100, HOSTILE * 50)
    for path in ("/", "/repos/acme/shop", "/calibration"):
        page = site.page(path)
        assert "alert(1)</script>" not in page
        assert "<bdi>" in page


@each_row("path", ["/repos/acme/none", "/repos/acme/'%20OR%201=1", "/repos/a/b/c", "/runs/1", "/runs/x", "/setup"])
def test_unknown_paths_are_not_found(site: Site, path: str) -> None:
    site.has()
    assert site.get(path).status == 404


# The calibration


def test_the_calibration_page_shows_the_newest_one(site: Site) -> None:
    site.has()
    site.screens(screened())
    page = site.page("/calibration")
    for shown in ("0.0193", "0.0164 to 0.0222", "microsoft/vscode", "7 outcomes", "86 %", "142be1735dd3"):
        assert shown in page


@pytest.mark.parametrize(
    ("shared", "said"), [(0, "7 published, 0 measured here"), (1_200, "1,200 shared by other accounts on this server")]
)
def test_shared_outcomes_are_counted_if_there_are_any(site: Site, shared: int, said: str) -> None:
    site.has()
    judged = screened()
    standing = {**judged.judgement["standing"], "shared": shared}
    site.screens(dataclasses.replace(judged, judgement={**judged.judgement, "standing": standing}))
    for path in ("/calibration", "/repos/acme/shop"):
        page = site.page(path)
        assert said in page
        assert ("shared" in page) is bool(shared)


@each_row("path", ["/", "/repos/acme/shop", "/calibration", "/runs/1"])
def test_pages_are_hidden_from_other_hosts(site: Site, path: str) -> None:
    site.has()
    assert site.get(path, host="assay.example").status == 404
