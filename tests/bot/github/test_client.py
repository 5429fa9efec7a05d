"""The clients over real HTTP against a fake server: what is sent, what is parsed, and which errors are raised."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.github.client import Comment, GitHubApp, GitHubServer, InstallationClient
from bot.github.errors import (
    BadToken,
    Blocked,
    Deleted,
    Forbidden,
    ForeignRedirect,
    GitHubError,
    InstallationGone,
    Moved,
    NotFound,
    RateLimited,
    Rejected,
    Suspended,
    Unavailable,
)
from bot.records import AppCredentials, CheckAction, CheckRunFields
from pipeline.records import AssayError
from tests.bot.github.fake_server import Expected, FakeServer, fake_server
from tests.rows import each_row

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TOKEN = "ghs_" + "canary" * 6
SHA = "a1" * 20
FIELDS = CheckRunFields(
    name="assay/screen",
    head_sha=SHA,
    external_id="assay/screen/7",
    conclusion="success",
    title="worth trying (RUN)",
    summary="**yes**",
    text="",
    actions=(CheckAction("Re-screen", "Measure this repository again", "rescreen"),),
)


class FakeClock:
    """A clock that only moves while someone sleeps."""

    def __init__(self) -> None:
        self.time = NOW
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)


def pem() -> str:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@pytest.fixture(scope="module")
def credentials() -> AppCredentials:
    return AppCredentials(app_id=42, private_key=pem(), webhook_secrets=("s",))


class Caller:
    """Runs client calls against a fake server."""

    def __init__(self, credentials: AppCredentials | None) -> None:
        self.credentials = credentials
        self.clock = FakeClock()
        self.budget: list[tuple[int, int]] = []

    def app(self, url: str, **server: Any) -> GitHubApp:
        return GitHubApp(
            lambda: self.credentials,
            GitHubServer(web_url=url, api_url=url, api_version="2022-11-28", **server),
            self.clock,
            lambda remaining, limit: self.budget.append((remaining, limit)),
        )

    def as_app(self, server: FakeServer, work: Callable[[GitHubApp], Awaitable[Any]]) -> Any:
        async def talk() -> Any:
            app = self.app(server.url)
            try:
                return await work(app)
            finally:
                await app.close()

        return asyncio.run(talk())

    def as_installation(self, server: FakeServer, work: Callable[[InstallationClient], Awaitable[Any]]) -> Any:
        return self.as_app(server, lambda app: work(app.installation_client(10, TOKEN)))


@pytest.fixture
def caller(credentials: AppCredentials) -> Caller:
    return Caller(credentials)


def error_for(caller: Caller, expected: Expected) -> GitHubError:
    """Return the error raised for a response to a request for a branch."""
    with fake_server(expected) as server, pytest.raises(GitHubError) as caught:
        caller.as_installation(server, lambda client: client.head("acme/shop", "main"))
    return caught.value


HEAD_PATH = "/repos/acme/shop/commits/heads%2Fmain"


def repository(repository_id: int, full_name: str = "acme/shop", **more: Any) -> dict[str, Any]:
    return {"id": repository_id, "full_name": full_name, "default_branch": "main", "private": False, **more}


def claims_of(authorization: str) -> dict[str, Any]:
    middle = authorization.removeprefix("Bearer ").split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return claims


class TestAsTheApp:
    def test_requests_carry_a_signed_token_and_the_api_version(self, caller: Caller) -> None:
        answer = {"id": 42, "slug": "assay", "name": "Assay", "permissions": {"checks": "write"}, "events": ["push"]}
        with fake_server(Expected("GET", "/app", body=answer)) as server:
            app = caller.as_app(server, lambda app: app.app())
        headers = server.received[0].headers
        assert claims_of(headers["authorization"])["iss"] == "42"
        assert headers["x-github-api-version"] == "2022-11-28"
        assert headers["accept"] == "application/vnd.github+json"
        assert (app.app_id, app.slug, app.events) == (42, "assay", ("push",))

    def test_an_installation_has_an_account_and_a_state(self, caller: Caller) -> None:
        answer = {
            "id": 10,
            "account": {"id": 5, "login": "acme", "type": "Organization", "avatar_url": None},
            "permissions": {"checks": "write"},
            "suspended_at": None,
            "something_new": {"unheard": "of"},
        }
        path = "/app/installations/10"
        with fake_server(
            Expected("GET", path, body=answer),
            Expected("GET", path, body={**answer, "suspended_at": "2026-01-01T00:00:00Z"}),
        ) as server:

            async def twice(app: GitHubApp) -> Any:
                return await app.installation(10), await app.installation(10)

            active, suspended = caller.as_app(server, twice)
        assert (active.account_id, active.account_login, active.account_type) == (5, "acme", "Organization")
        assert (active.state, suspended.state) == ("active", "suspended")
        assert active.permissions == {"checks": "write"}

    def test_deleted_and_suspended_installations_are_distinguished(self, caller: Caller) -> None:
        path = "/app/installations/10/access_tokens"
        with (
            fake_server(Expected("POST", path, 404, {"message": "Not Found"})) as server,
            pytest.raises(InstallationGone),
        ):
            caller.as_app(server, lambda app: app.mint(10, 1, {"checks": "write"}))
        with (
            fake_server(Expected("POST", path, 403, {"message": "This installation has been suspended"})) as server,
            pytest.raises(Suspended),
        ):
            caller.as_app(server, lambda app: app.mint(10, 1, {"checks": "write"}))

    def test_a_token_is_limited_to_a_repository_and_permissions(self, caller: Caller) -> None:
        path = "/app/installations/10/access_tokens"
        answer = {"token": TOKEN, "expires_at": "2026-11-22T13:00:00Z"}
        with fake_server(Expected("POST", path, 201, answer), Expected("POST", path, 201, answer)) as server:

            async def twice(app: GitHubApp) -> Any:
                one = await app.mint(10, 100, {"checks": "write", "contents": "read"})
                return one, await app.mint(10, None, {"metadata": "read"})

            assert caller.as_app(server, twice) == (TOKEN, TOKEN)
        bodies = [request.body for request in server.received]
        assert bodies[0] == {"repository_ids": [100], "permissions": {"checks": "write", "contents": "read"}}
        assert bodies[1] == {"permissions": {"metadata": "read"}}

    @pytest.mark.parametrize(
        ("message", "problem"),
        [
            ("The permissions requested are not granted to this installation.", Forbidden),
            ("There is at least one repository that does not exist or is not accessible to the parent.", NotFound),
            ("Validation Failed", Rejected),
        ],
    )
    def test_minting_errors_are_classified_by_message(
        self, caller: Caller, message: str, problem: type[GitHubError]
    ) -> None:
        expected = Expected("POST", "/app/installations/10/access_tokens", 422, {"message": message})
        with fake_server(expected) as server, pytest.raises(problem) as caught:
            caller.as_app(server, lambda app: app.mint(10, 100, {"issues": "write"}))
        assert type(caught.value) is problem

    def test_deliveries_are_paged_until_they_are_too_old(self, caller: Caller) -> None:
        def sent(number: int, hour: int, **more: Any) -> dict[str, Any]:
            at = f"2026-11-22T{hour:02}:00:00Z"
            return {"id": number, "guid": f"g{number}", "delivered_at": at, "event": "push", "status_code": 202, **more}

        first = [sent(3, 11, action=None, installation_id=None, repository_id=None), sent(2, 10, status_code=0)]
        link = '<{url}/app/hook/deliveries?per_page=100&cursor=v1_9%2C8>; rel="next"'
        with fake_server(
            Expected("GET", "/app/hook/deliveries?per_page=100", body=first, headers={"Link": link}),
            Expected("GET", "/app/hook/deliveries?per_page=100&cursor=v1_9%2C8", body=[sent(1, 8), sent(0, 7)]),
        ) as server:

            async def listed(app: GitHubApp) -> Any:
                return [delivery async for delivery in app.deliveries(NOW - timedelta(hours=4))]

            found = caller.as_app(server, listed)
        assert [(d.id, d.guid, d.status_code, d.action, d.installation_id) for d in found] == [
            (3, "g3", 202, "", 0),
            (2, "g2", 0, "", 0),
            (1, "g1", 202, "", 0),
        ]
        assert found[0].delivered_at == datetime(2026, 11, 22, 11, tzinfo=UTC)

    def test_a_delivery_is_redelivered_once(self, caller: Caller) -> None:
        with fake_server(Expected("POST", "/app/hook/deliveries/3/attempts", 202, {})) as server:
            caller.as_app(server, lambda app: app.redeliver(3))

    def test_installations_are_paged(self, caller: Caller) -> None:
        pages = [[{"id": n, "account": None} for n in range(100)], [{"id": 100, "account": {"id": 1, "slug": "big"}}]]
        with fake_server(
            Expected("GET", "/app/installations?per_page=100&page=1", body=pages[0]),
            Expected("GET", "/app/installations?per_page=100&page=2", body=pages[1]),
        ) as server:
            found = caller.as_app(server, lambda app: app.installations())
        assert [i.installation_id for i in found] == list(range(101))
        assert found[100].account_login == "big"

    def test_nothing_is_requested_without_credentials(self) -> None:
        with fake_server() as server, pytest.raises(Unavailable, match="not registered"):
            Caller(None).as_app(server, lambda app: app.app())

    def test_an_invalid_key_is_reported_without_being_shown(self) -> None:
        caller = Caller(AppCredentials(app_id=42, private_key="canary-key", webhook_secrets=("s",)))
        with fake_server() as server, pytest.raises(BadToken) as caught:
            caller.as_app(server, lambda app: app.app())
        assert "canary" not in "".join(traceback.format_exception(caught.value))

    def test_new_credentials_take_effect_immediately(self, caller: Caller, credentials: AppCredentials) -> None:
        with fake_server(Expected("GET", "/app", body={"id": 42}), Expected("GET", "/app", body={"id": 42})) as server:

            async def rotate(app: GitHubApp) -> None:
                await app.app()
                caller.credentials = AppCredentials(app_id=42, private_key=pem(), webhook_secrets=("s",))
                await app.app()

            caller.as_app(server, rotate)
        signatures = {request.headers["authorization"].rpartition(".")[2] for request in server.received}
        assert len(signatures) == 2


class TestAsAnInstallation:
    def test_repositories_are_paged_and_disabled_ones_count_as_archived(self, caller: Caller) -> None:
        pages = [[repository(n) for n in range(100)], [repository(100, "acme/old", disabled=True)]]
        last = '<{url}/installation/repositories?page=1>; rel="prev"'
        with fake_server(
            Expected("GET", "/installation/repositories?per_page=100&page=1", body={"repositories": pages[0]}),
            Expected(
                "GET",
                "/installation/repositories?per_page=100&page=2",
                body={"total_count": 101, "repositories": pages[1]},
                headers={"Link": last},
            ),
        ) as server:
            found = caller.as_installation(server, lambda client: client.repositories())
        assert len(found) == 101
        assert (found[100].full_name, found[100].archived, found[100].installation_id) == ("acme/old", True, 10)
        assert server.received[0].headers["authorization"] == f"token {TOKEN}"

    def test_a_renamed_repository_is_followed_on_the_same_host(self, caller: Caller) -> None:
        with fake_server(
            Expected("GET", "/repos/acme/old", 301, {}, {"Location": "{url}/repositories/100"}),
            Expected("GET", "/repositories/100", body=repository(100, "acme/new")),
        ) as server:
            found = caller.as_installation(server, lambda client: client.repository("acme/old", 100))
        assert found.full_name == "acme/new"

    def test_a_repository_is_found_by_id_when_its_name_was_taken(self, caller: Caller) -> None:
        listed = {"total_count": 1, "repositories": [repository(100, "acme/moved")]}
        with fake_server(
            Expected("GET", "/repos/acme/shop", body=repository(999)),
            Expected("GET", "/installation/repositories?per_page=100&page=1", body=listed),
        ) as server:
            found = caller.as_installation(server, lambda client: client.repository("acme/shop", 100))
        assert (found.repository_id, found.full_name) == (100, "acme/moved")

    def test_a_missing_repository_is_not_found(self, caller: Caller) -> None:
        with (
            fake_server(
                Expected("GET", "/repos/acme/shop", 404, {"message": "Not Found"}),
                Expected("GET", "/installation/repositories?per_page=100&page=1", body={"repositories": []}),
            ) as server,
            pytest.raises(NotFound),
        ):
            caller.as_installation(server, lambda client: client.repository("acme/shop", 100))

    def test_special_characters_in_branch_names_are_quoted(self, caller: Caller) -> None:
        path = "/repos/acme/shop/commits/heads%2Frel%23ease%2F1%3Fx%25"
        with fake_server(Expected("GET", path, body=SHA.encode())) as server:
            assert caller.as_installation(server, lambda client: client.head("acme/shop", "rel#ease/1?x%")) == SHA
        assert server.received[0].headers["accept"] == "application/vnd.github.sha"

    def test_an_empty_repository_has_no_head(self, caller: Caller) -> None:
        expected = Expected("GET", HEAD_PATH, 409, {"message": "Git Repository is empty."})
        with fake_server(expected) as server:
            assert caller.as_installation(server, lambda client: client.head("acme/shop", "main")) == ""

    def test_a_missing_branch_is_not_found(self, caller: Caller) -> None:
        expected = Expected("GET", HEAD_PATH, 422, {"message": "No commit found for SHA: heads/main"})
        assert type(error_for(caller, expected)) is NotFound

    @each_row("name", ["", "shop", "../app", "acme/..", "acme/.", "acme/", "/shop"])
    def test_path_traversal_in_names_is_rejected(self, caller: Caller, name: str) -> None:
        with fake_server() as server, pytest.raises(Rejected):
            caller.as_installation(server, lambda client: client.head(name, "main"))

    def test_extra_slashes_in_a_name_are_quoted(self, caller: Caller) -> None:
        path = "/repos/acme/shop%2F..%2F..%2Fapp/commits/heads%2Fmain"
        with fake_server(Expected("GET", path, 404, {})) as server, pytest.raises(NotFound):
            caller.as_installation(server, lambda client: client.head("acme/shop/../../app", "main"))

    def test_a_completed_check_run_is_created_in_one_request(self, caller: Caller) -> None:
        with fake_server(Expected("POST", "/repos/acme/shop/check-runs", 201, {"id": 77})) as server:
            assert caller.as_installation(server, lambda client: client.create_check_run("acme/shop", FIELDS)) == 77
        assert server.received[0].body == {
            "name": "assay/screen",
            "head_sha": SHA,
            "external_id": "assay/screen/7",
            "status": "completed",
            "conclusion": "success",
            "output": {"title": "worth trying (RUN)", "summary": "**yes**"},
            "actions": [
                {"label": "Re-screen", "description": "Measure this repository again", "identifier": "rescreen"}
            ],
        }

    @pytest.mark.parametrize("failing", [{"status": 502, "body": b"bad gateway"}, {"hang_up": True}])
    def test_creating_a_check_run_is_never_retried(self, caller: Caller, failing: dict[str, Any]) -> None:
        expected = Expected("POST", "/repos/acme/shop/check-runs", **failing)
        with fake_server(expected) as server, pytest.raises(Unavailable):
            caller.as_installation(server, lambda client: client.create_check_run("acme/shop", FIELDS))
        assert len(server.received) == 1

    def test_a_check_run_is_found_by_external_id_and_app(self, caller: Caller) -> None:
        runs = [
            {"id": 1, "name": "assay/screen", "external_id": "assay/screen/7", "app": {"id": 666}},
            {"id": 2, "name": "assay/screen", "external_id": "assay/screen/6", "app": {"id": 42}},
            {"id": 3, "name": "assay/screen", "external_id": None, "app": None},
            {"id": 4, "name": "assay/screen", "external_id": "assay/screen/7", "app": {"id": 42}},
        ]
        query = "check_name=assay%2Fscreen&filter=all&app_id=42&per_page=100&page=1"
        path = f"/repos/acme/shop/commits/{SHA}/check-runs?{query}"
        answer = {"total_count": 4, "check_runs": runs}
        with fake_server(Expected("GET", path, body=answer), Expected("GET", path, body=answer)) as server:

            async def look(client: InstallationClient) -> Any:
                found = await client.find_check_runs("acme/shop", SHA, "assay/screen", "assay/screen/7")
                return found, await client.find_check_runs("acme/shop", SHA, "assay/screen", "assay/screen/99")

            assert caller.as_installation(server, look) == ([4], [])

    def test_automatic_suites_are_turned_off(self, caller: Caller) -> None:
        with fake_server(Expected("PATCH", "/repos/acme/shop/check-suites/preferences", body={})) as server:
            caller.as_installation(server, lambda client: client.turn_off_suites("acme/shop", 42))
        assert server.received[0].body == {"auto_trigger_checks": [{"app_id": 42, "setting": False}]}

    @each_row(
        ("answer", "account_id", "role"),
        [
            ({"permission": "write", "role_name": "maintain", "user": {"id": 5}}, 5, "maintain"),
            ({"permission": "write", "role_name": "maintain", "user": {"id": 6}}, 5, "none"),
            ({"permission": "write", "role_name": "maintain", "user": None}, 5, "none"),
            ({"permission": "admin"}, 0, "admin"),
            ({}, 0, "none"),
        ],
    )
    def test_a_role_belongs_to_the_account_not_the_login(
        self, caller: Caller, answer: dict[str, Any], account_id: int, role: str
    ) -> None:
        with fake_server(Expected("GET", "/repos/acme/shop/collaborators/al%20ice/permission", body=answer)) as server:
            found = caller.as_installation(server, lambda client: client.role("acme/shop", "al ice", account_id))
        assert found == role

    def test_unknown_users_have_no_role(self, caller: Caller) -> None:
        expected = Expected("GET", "/repos/acme/shop/collaborators/bob/permission", 404, {})
        with fake_server(expected) as server:
            assert caller.as_installation(server, lambda client: client.role("acme/shop", "bob")) == "none"

    def test_an_accounts_login_is_fetched(self, caller: Caller) -> None:
        with fake_server(Expected("GET", "/user/5", body={"id": 5, "login": "alice"})) as server:
            assert caller.as_installation(server, lambda client: client.user_login(5)) == "alice"

    def test_a_comments_repr_does_not_show_its_text(self, caller: Caller) -> None:
        answer = {
            "id": 8,
            "body": "/screen canary",
            "user": {"id": 5, "login": "alice", "type": "User"},
            "issue_url": "https://elsewhere.example/repos/acme/shop/issues/12",
        }
        with fake_server(Expected("GET", "/repos/acme/shop/issues/comments/8", body=answer)) as server:
            comment = caller.as_installation(server, lambda client: client.comment("acme/shop", 8))
        assert comment == Comment(5, "alice", "User", "/screen canary", 12)
        assert "canary" not in repr(comment)

    def test_a_comment_without_an_author_is_read(self, caller: Caller) -> None:
        answer = {"id": 8, "body": None, "user": None}
        with fake_server(Expected("GET", "/repos/acme/shop/issues/comments/8", body=answer)) as server:
            comment = caller.as_installation(server, lambda client: client.comment("acme/shop", 8))
        assert comment == Comment(0, "", "", "", 0)

    def test_reactions_are_retried(self, caller: Caller) -> None:
        path = "/repos/acme/shop/issues/comments/8/reactions"
        with fake_server(Expected("POST", path, 503, b""), Expected("POST", path, 201, {"id": 1})) as server:
            caller.as_installation(server, lambda client: client.react("acme/shop", 8, "eyes"))
        assert [request.body for request in server.received] == [{"content": "eyes"}] * 2

    def test_a_clients_repr_does_not_show_its_token(self, caller: Caller) -> None:
        with fake_server() as server:

            async def printed(client: InstallationClient) -> str:
                return repr(client)

            assert caller.as_installation(server, printed) == "InstallationClient(installation_id=10)"


class TestProblems:
    @each_row(
        ("status", "message", "problem"),
        [
            (401, "Bad credentials", BadToken),
            (403, "Resource not accessible by integration", Forbidden),
            (403, "This installation has been suspended", Suspended),
            (404, "Not Found", NotFound),
            (410, "Issues are disabled for this repo", Deleted),
            (422, "Validation Failed", Rejected),
            (409, "Conflict", Rejected),
            (451, "Repository access blocked", Blocked),
            (403, "Sorry. Your account was suspended", Forbidden),
            (500, "Server Error", Unavailable),
        ],
    )
    def test_statuses_map_to_errors(
        self, caller: Caller, status: int, message: str, problem: type[GitHubError]
    ) -> None:
        assert type(error_for(caller, Expected("GET", HEAD_PATH, status, {"message": message}))) is problem

    def test_error_messages_are_short_printable_and_without_the_token(self, caller: Caller) -> None:
        message = f"\x1b[31mno {TOKEN}\u202e " + "x" * 5_000
        text = str(error_for(caller, Expected("GET", HEAD_PATH, 403, {"message": message})))
        assert text.isprintable()
        assert len(text) < 200
        assert "canary" not in text

    @each_row("body", [b"", b"<html>", b"[1]", b"null", b'{"message": 5}', b"[" * 50_000])
    def test_errors_without_a_message_are_understood(self, caller: Caller, body: bytes) -> None:
        assert str(error_for(caller, Expected("GET", HEAD_PATH, 404, body))) == "HTTP 404"

    @each_row("body", [b"", b"<html>login here</html>", b"{}", b'{"id": "x"}', b"[]", b"\xff"])
    def test_unexpected_responses_are_unavailable(self, caller: Caller, body: bytes) -> None:
        assert type(error_for(caller, Expected("GET", HEAD_PATH, 200, body))) is Unavailable
        with fake_server(Expected("GET", "/app", 200, body)) as server, pytest.raises(Unavailable):
            caller.as_app(server, lambda app: app.app())

    @each_row(
        ("status", "message", "headers", "seconds"),
        [
            (403, "API rate limit exceeded", {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "{reset}"}, 900),
            (429, "API rate limit exceeded", {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "{reset}"}, 900),
            (403, "You have exceeded a secondary rate limit", {"Retry-After": "37"}, 37),
            (403, "You have exceeded a secondary rate limit", {}, 60),
            (403, "You have triggered an abuse detection mechanism", {}, 60),
            (429, "slow down", {}, 60),
            (403, "wait", {"Retry-After": "Sun, 22 Nov 2026 12:05:00 GMT"}, 300),
        ],
    )
    def test_a_rate_limit_has_a_retry_time(
        self, caller: Caller, status: int, message: str, headers: dict[str, str], seconds: int
    ) -> None:
        reset = str(int((NOW + timedelta(seconds=900)).timestamp()))
        headers = {name: value.replace("{reset}", reset) for name, value in headers.items()}
        problem = error_for(caller, Expected("GET", HEAD_PATH, status, {"message": message}, headers))
        assert isinstance(problem, RateLimited)
        assert problem.until == NOW + timedelta(seconds=seconds)
        assert not caller.clock.slept

    @pytest.mark.parametrize("failing", [{"status": 502}, {"status": 503}, {"status": 504}, {"hang_up": True}])
    def test_reads_are_retried_twice_with_short_waits(self, caller: Caller, failing: dict[str, Any]) -> None:
        fail = Expected("GET", HEAD_PATH, **failing)
        with fake_server(fail, fail, Expected("GET", HEAD_PATH, body=SHA.encode())) as server:
            assert caller.as_installation(server, lambda client: client.head("acme/shop", "main")) == SHA
        first, second = caller.clock.slept
        assert 0.5 <= first <= 1.5
        assert 1.0 <= second <= 3.0

    def test_reads_are_not_retried_forever(self, caller: Caller) -> None:
        with fake_server(*[Expected("GET", HEAD_PATH, 503)] * 3) as server, pytest.raises(Unavailable):
            caller.as_installation(server, lambda client: client.head("acme/shop", "main"))

    def test_large_responses_are_not_read(self, caller: Caller) -> None:
        problem = error_for(caller, Expected("GET", HEAD_PATH, 200, b" " * (11 << 20)))
        assert isinstance(problem, Unavailable)
        assert "10 MB" in str(problem)

    def test_compressed_responses_are_rejected(self, caller: Caller) -> None:
        bomb = Expected("GET", HEAD_PATH, 200, b"\x1f\x8b", {"Content-Encoding": "gzip"})
        assert "compressed" in str(error_for(caller, bomb))

    def test_connection_failures_are_unavailable_and_hide_the_token(self, caller: Caller) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            server = FakeServer(f"http://127.0.0.1:{taken.getsockname()[1]}", [])
            with pytest.raises(Unavailable) as caught:
                caller.as_installation(server, lambda client: client.head("acme/shop", "main"))
        assert "canary" not in "".join(traceback.format_exception(caught.value))
        assert len(caller.clock.slept) == 2


class TestRedirects:
    @each_row(
        "location",
        [
            "https://evil.example/repositories/100",
            "http://127.0.0.1:1/api/v3/repositories/100",
            "//evil.example/api/v3/x",
            "http://user@evil.example/api/v3/x",
            "/somewhere/beside/the/api",
            "/api/v3//evil.example/x",
            "",
            "http://[bad",
        ],
    )
    def test_redirects_out_of_the_api_are_not_followed(self, caller: Caller, location: str) -> None:
        problem = error_for(caller, Expected("GET", HEAD_PATH, 302, {}, {"Location": location}))
        assert isinstance(problem, ForeignRedirect | Unavailable)
        assert "evil" not in str(problem)

    def test_redirect_loops_end(self, caller: Caller) -> None:
        again = Expected("GET", HEAD_PATH, 302, {}, {"Location": "{url}" + HEAD_PATH})
        with fake_server(*[again] * 4) as server, pytest.raises(Unavailable, match="loop"):
            caller.as_installation(server, lambda client: client.head("acme/shop", "main"))

    def test_writes_are_never_redirected(self, caller: Caller) -> None:
        path = "/repos/acme/shop/check-runs"
        for location, problem in (
            ("{url}/repositories/100/check-runs", Moved),
            ("https://evil.example/", ForeignRedirect),
        ):
            with (
                fake_server(Expected("POST", path, 307, {}, {"Location": location})) as server,
                pytest.raises(problem),
            ):
                caller.as_installation(server, lambda client: client.create_check_run("acme/shop", FIELDS))


class TestPace:
    def test_the_budget_is_reported(self, caller: Caller) -> None:
        headers = {"x-ratelimit-remaining": "4998", "x-ratelimit-limit": "5000"}
        with fake_server(Expected("GET", "/app", body={"id": 42}, headers=headers)) as server:
            caller.as_app(server, lambda app: app.app())
        assert caller.budget == [(4998, 5000)]

    def test_missing_or_malformed_budget_headers_are_ignored(self, caller: Caller) -> None:
        odd = {"x-ratelimit-remaining": "many", "x-ratelimit-limit": "5000"}
        with fake_server(
            Expected("GET", "/app", body={"id": 42}), Expected("GET", "/app", body={"id": 42}, headers=odd)
        ) as server:

            async def twice(app: GitHubApp) -> None:
                await app.app()
                await app.app()

            caller.as_app(server, twice)
        assert caller.budget == []

    def test_a_busy_installation_is_rate_limited_locally_and_others_are_not(self, caller: Caller) -> None:
        def minted(installation_id: int) -> Expected:
            return Expected("POST", f"/app/installations/{installation_id}/access_tokens", 201, {"token": TOKEN})

        with fake_server(*[minted(10)] * 180, minted(11)) as server:

            async def many(app: GitHubApp) -> None:
                for _ in range(180):
                    await app.mint(10, 100, {"checks": "write"})
                await app.mint(11, 100, {"checks": "write"})
                await app.mint(10, 100, {"checks": "write"})

            with pytest.raises(RateLimited) as caught:
                caller.as_app(server, many)
        assert caught.value.until == NOW + timedelta(minutes=1)


class TestSurroundings:
    def test_netrc_credentials_are_not_used(
        self, caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login canary password canary\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("HOME", str(tmp_path))
        with fake_server(Expected("GET", HEAD_PATH, body=SHA.encode())) as server:
            caller.as_installation(server, lambda client: client.head("acme/shop", "main"))
        assert server.received[0].headers["authorization"] == f"token {TOKEN}"

    def test_the_environments_proxy_is_used(self, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        with fake_server(Expected("GET", "http://github.test/api/v3/app", body={"id": 42})) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/api/v3"))
            monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/api/v3"))
            monkeypatch.setenv("no_proxy", "")
            caller.as_app(FakeServer("http://github.test/api/v3", []), lambda app: app.app())

    def test_an_invalid_ca_bundle_is_named(self, caller: Caller, tmp_path: Path) -> None:
        (tmp_path / "bundle.pem").write_text("not one")
        with pytest.raises(AssayError, match=r"bundle\.pem .*ASSAY_CA_BUNDLE"):
            caller.app("https://github.test", ca_bundle=tmp_path / "bundle.pem")

    def test_an_unsupported_proxy_is_named(self, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
        with pytest.raises(AssayError, match="HTTPS_PROXY"):
            caller.app("https://github.test")
