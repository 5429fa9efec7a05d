import asyncio
import html
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from starlette.applications import Starlette

from bot.receiver.dispatch import SUBSETS, permissions_of
from bot.records import AppCredentials
from bot.setup.guard import MAX_GUESSES
from bot.setup.page import SetupState, setup_routes
from pipeline.records import AssayError
from tests.rows import each_row

CREDENTIALS = AppCredentials(7, "PEM", ("s3cret",), "Iv1.a", "client-s3cret", "assay-acme")
PUBLIC = "https://assay.example"
CHOSEN = {"owner": "account", "organization": "", "subset": "screen", "name": "Assay"}


@dataclass
class Site:
    """A server's setup page, with a record of its effects."""

    base_url: str = PUBLIC
    github_url: str = "https://github.com"
    answer: AppCredentials | AssayError = CREDENTIALS
    slow: bool = False
    codes: list[str] = field(default_factory=list)
    registered: list[AppCredentials] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = SetupState(
            base_url=self.base_url,
            github_url=self.github_url,
            register=self.register,
            on_registered=self.registered.append,
            next_step="Assay works with it now.",
        )
        self.app = Starlette(routes=setup_routes(self.state))

    async def register(self, code: str) -> AppCredentials:
        self.codes.append(code)
        if self.slow:
            await asyncio.sleep(0.01)
        if isinstance(self.answer, AssayError):
            raise self.answer
        return self.answer

    def visit(self, *visits: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> list[Any]:
        """Send these requests concurrently and return the responses."""

        async def all_of_them() -> list[Any]:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
                return await asyncio.gather(*(visit(client) for visit in visits))

        return asyncio.run(all_of_them())

    def get(self, path: str) -> httpx.Response:
        (response,) = self.visit(lambda client: client.get(path))
        return response

    def send(self, **chosen: str) -> httpx.Response:
        (response,) = self.visit(lambda client: client.post(self.state.path, data={**CHOSEN, **chosen}))
        return response

    def new_state(self, **chosen: str) -> str:
        address = form_of(self.send(**chosen).text)[0]
        return parse_qs(urlsplit(address).query)["state"][0]


def form_of(page: str) -> tuple[str, dict[str, Any]]:
    """Return the URL to which the page's form posts, and the manifest in it."""
    (address,) = re.findall(r'<form method="post" action="([^"]*)"', page)
    (text,) = re.findall(r'name="manifest" value="([^"]*)"', page)
    return html.unescape(address), json.loads(html.unescape(text))


def test_the_first_page_shows_each_subsets_permissions_and_limitations() -> None:
    site = Site()
    response = site.get(site.state.path)
    assert response.status_code == 200
    page = html.unescape(response.text)
    for subset in SUBSETS:
        assert f'name="subset" value="{subset}"' in page
        assert all(permission.purpose in page for permission in permissions_of(subset))
    assert page.count("Commands in comments are ignored") == 2
    assert re.findall(r'value="(\w+)" checked', page) == ["account", "screen"]


def test_the_second_page_posts_the_manifest_to_github() -> None:
    site = Site()
    response = site.send(subset="evidence", name='Assay <of> "acme"')
    address, manifest = form_of(response.text)
    assert re.fullmatch(r"https://github\.com/settings/apps/new\?state=[\w-]{43}", address)
    assert manifest["name"] == 'Assay <of> "acme"'
    assert manifest["default_permissions"]["issues"] == "read"
    assert manifest["hook_attributes"]["url"] == f"{PUBLIC}/webhook"
    assert "<of>" not in response.text
    assert "<button" in response.text
    assert "<script" not in response.text


def test_organizations_and_ghes_have_their_own_form_url() -> None:
    site = Site(github_url="https://ghes.example:8443")
    address, _ = form_of(site.send(owner="organization", organization="acme").text)
    assert address.startswith("https://ghes.example:8443/organizations/acme/settings/apps/new?state=")


def test_an_invalid_choice_is_explained_and_the_rest_kept() -> None:
    site = Site()
    response = site.send(owner="organization", organization='a/"><b>', subset="full")
    assert response.status_code == 400
    assert "Enter the organization&#39;s name" in response.text
    assert "<b>" not in response.text
    assert re.findall(r'value="(\w+)" checked', response.text) == ["organization", "full"]


@each_row(
    ("content_type", "content"),
    [
        ("application/json", b"{}"),
        ("application/x-www-form-urlencoded", b"x" * 9_000),
        ("application/x-www-form-urlencoded", b"&".join(b"a=1" for _ in range(50))),
        ("application/x-www-form-urlencoded", b"name=\xff&subset=%ff"),
        ("application/x-www-form-urlencoded", b""),
        ("", b"subset=screen"),
    ],
)
def test_other_bodies_than_forms_are_refused(content_type: str, content: bytes) -> None:
    site = Site()
    headers = {"Content-Type": content_type} if content_type else {}
    (response,) = site.visit(lambda client: client.post(site.state.path, content=content, headers=headers))
    assert response.status_code == 400
    assert 'role="alert"' in response.text


def test_the_callback_registers_the_app() -> None:
    site = Site()
    response = site.get(f"/setup/callback?code=abc&state={site.new_state()}")
    assert response.status_code == 200
    assert (site.codes, site.registered) == (["abc"], [CREDENTIALS])
    assert 'href="https://github.com/apps/assay-acme/installations/new"' in response.text
    assert "Assay works with it now." in response.text
    assert not any(secret in response.text for secret in ("s3cret", "PEM", "Iv1.a"))


def test_the_setup_page_is_gone_once_registered() -> None:
    site = Site()
    paths = [site.state.path, "/setup/callback?code=abc&state=" + site.new_state()]
    site.get("/setup/callback?code=abc&state=" + site.new_state())
    for path in ("/setup", *paths):
        for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS"):
            (response,) = site.visit(lambda client, m=method, p=path: client.request(m, p))  # type: ignore[misc]
            assert (response.status_code, response.text) == (404, "Not Found" if method != "HEAD" else response.text)
    assert site.codes == ["abc"]


def test_the_setup_page_is_gone_once_another_process_registered() -> None:
    site = Site()
    callback = f"/setup/callback?code=abc&state={site.new_state()}"
    site.state.is_registered_elsewhere = lambda: True
    assert [site.get(path).status_code for path in (site.state.path, callback)] == [404, 404]
    assert site.codes == []


@each_row("path", ["/setup", "/setup?token=", "/setup?token=x", "/setup?token=x&token="])
@each_row("method", ["GET", "POST", "DELETE"])
def test_the_setup_page_needs_the_token(path: str, method: str) -> None:
    site = Site()
    nowhere = site.get("/elsewhere")
    (response,) = site.visit(lambda client: client.request(method, path))
    assert (response.status_code, response.text, response.headers) == (404, nowhere.text, nowhere.headers)


def test_other_methods_are_not_found_even_with_the_token() -> None:
    site = Site()
    (response,) = site.visit(lambda client: client.put(site.state.path))
    assert response.status_code == 404


def test_too_many_wrong_tokens_lock_the_page() -> None:
    site = Site()
    for _ in range(MAX_GUESSES):
        assert site.get("/setup?token=guess").status_code == 404
    assert site.get(site.state.path).status_code == 404


@each_row("query", ["", "?code=abc", "?code=abc&state=", "?code=abc&state=x"])
def test_a_callback_without_a_valid_state_is_rejected(query: str) -> None:
    site = Site()
    site.new_state()
    assert site.get(f"/setup/callback{query}").status_code == 404
    assert (site.codes, site.registered) == ([], [])


def test_the_token_is_not_a_state() -> None:
    site = Site()
    assert site.get(f"/setup/callback?code=abc&state={site.state.guard.token}").status_code == 404


def test_concurrent_callbacks_register_once() -> None:
    site = Site(slow=True)
    first, second = site.new_state(), site.new_state()
    paths = [f"/setup/callback?code=abc&state={state}" for state in (first, first, second)]
    visits = [lambda client, p=path: client.get(p) for path in paths]
    assert sorted(response.status_code for response in site.visit(*visits)) == [200, 404, 404]
    assert (site.codes, site.registered) == (["abc"], [CREDENTIALS])


def test_a_failure_is_explained_and_can_be_retried() -> None:
    site = Site(answer=AssayError("GitHub does not know this code <b>: open the setup page again and start over"))
    response = site.get(f"/setup/callback?code=abc&state={site.new_state()}")
    assert response.status_code == 502
    assert "does not know this code &lt;b&gt;: open the setup page again and start over." in response.text
    assert site.registered == []
    site.answer = CREDENTIALS
    assert site.get(f"/setup/callback?code=def&state={site.new_state()}").status_code == 200
    assert site.registered == [CREDENTIALS]


def test_an_invalid_slug_omits_the_links() -> None:
    site = Site(answer=AppCredentials(7, "PEM", ("s3cret",), slug="../evil"))
    response = site.get(f"/setup/callback?code=abc&state={site.new_state()}")
    assert response.status_code == 200
    assert "<a " not in response.text
    assert "evil" not in response.text


def test_an_unreachable_address_is_explained_beforehand() -> None:
    site = Site(base_url="http://127.0.0.1:8000")
    assert "ASSAY_PUBLIC_URL" in site.get(site.state.path).text
    page = site.send().text
    assert "ASSAY_PUBLIC_URL" in page
    assert "<form" not in page


def test_every_response_forbids_scripts_frames_caches_and_referrers() -> None:
    site = Site(github_url="https://ghes.example:8443", answer=AssayError("no"))
    failed = site.get(f"/setup/callback?code=abc&state={site.new_state()}")
    for response in (site.get(site.state.path), site.send(), site.send(subset=""), failed):
        policy = response.headers["Content-Security-Policy"].split("; ")
        assert policy[0] == "default-src 'none'"
        assert "form-action 'self' https://ghes.example:8443" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in " ".join(policy)
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_the_states_repr_shows_neither_token_nor_guard() -> None:
    site = Site()
    assert site.state.guard.token not in repr(site.state)
