"""The client against a server of our own over real HTTP: what is sent, what is read, and what each problem becomes."""

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
    Elsewhere,
    Forbidden,
    GitHubProblem,
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
from tests.bot.github.stand_in import Expected, StandIn, stand_in

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


class StillClock:
    """Goes only as far as somebody sleeps."""

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
    """Runs one conversation with a stand-in."""

    def __init__(self, credentials: AppCredentials | None) -> None:
        self.credentials = credentials
        self.clock = StillClock()
        self.budget: list[tuple[int, int]] = []

    def app(self, url: str, **server: Any) -> GitHubApp:
        return GitHubApp(
            lambda: self.credentials,
            GitHubServer(web_url=url, api_url=url, api_version="2022-11-28", **server),
            self.clock,
            lambda remaining, limit: self.budget.append((remaining, limit)),
        )

    def as_app(self, record: StandIn, work: Callable[[GitHubApp], Awaitable[Any]]) -> Any:
        async def talk() -> Any:
            app = self.app(record.url)
            try:
                return await work(app)
            finally:
                await app.close()

        return asyncio.run(talk())

    def as_installation(self, record: StandIn, work: Callable[[InstallationClient], Awaitable[Any]]) -> Any:
        return self.as_app(record, lambda app: work(app.installation_client(10, TOKEN)))


@pytest.fixture
def caller(credentials: AppCredentials) -> Caller:
    return Caller(credentials)


def answered(caller: Caller, expected: Expected) -> GitHubProblem:
    """What becomes of one answer to a question for a branch."""
    with stand_in(expected) as record, pytest.raises(GitHubProblem) as caught:
        caller.as_installation(record, lambda client: client.head("acme/shop", "main"))
    return caught.value


HEAD_PATH = "/repos/acme/shop/commits/heads%2Fmain"


def repository(repository_id: int, full_name: str = "acme/shop", **more: Any) -> dict[str, Any]:
    return {"id": repository_id, "full_name": full_name, "default_branch": "main", "private": False, **more}


def claims_of(authorization: str) -> dict[str, Any]:
    middle = authorization.removeprefix("Bearer ").split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return claims


class TestAsTheApp:
    def test_it_shows_a_token_signed_with_its_key_and_the_version_of_the_api(self, caller: Caller) -> None:
        answer = {"id": 42, "slug": "assay", "name": "Assay", "permissions": {"checks": "write"}, "events": ["push"]}
        with stand_in(Expected("GET", "/app", body=answer)) as record:
            app = caller.as_app(record, lambda app: app.app())
        headers = record.heard[0].headers
        assert claims_of(headers["authorization"])["iss"] == "42"
        assert headers["x-github-api-version"] == "2022-11-28"
        assert headers["accept"] == "application/vnd.github+json"
        assert (app.app_id, app.slug, app.events) == (42, "assay", ("push",))

    def test_an_installation_says_who_it_is_and_whether_it_is_suspended(self, caller: Caller) -> None:
        answer = {
            "id": 10,
            "account": {"id": 5, "login": "acme", "type": "Organization", "avatar_url": None},
            "permissions": {"checks": "write"},
            "suspended_at": None,
            "something_new": {"unheard": "of"},
        }
        path = "/app/installations/10"
        with stand_in(
            Expected("GET", path, body=answer),
            Expected("GET", path, body={**answer, "suspended_at": "2026-01-01T00:00:00Z"}),
        ) as record:

            async def twice(app: GitHubApp) -> Any:
                return await app.installation(10), await app.installation(10)

            active, suspended = caller.as_app(record, twice)
        assert (active.account_id, active.account_login, active.account_type) == (5, "acme", "Organization")
        assert (active.state, suspended.state) == ("active", "suspended")
        assert active.permissions == {"checks": "write"}

    def test_an_installation_that_is_gone_is_told_from_one_that_is_suspended(self, caller: Caller) -> None:
        path = "/app/installations/10/access_tokens"
        with (
            stand_in(Expected("POST", path, 404, {"message": "Not Found"})) as record,
            pytest.raises(InstallationGone),
        ):
            caller.as_app(record, lambda app: app.mint(10, 1, {"checks": "write"}))
        with (
            stand_in(Expected("POST", path, 403, {"message": "This installation has been suspended"})) as record,
            pytest.raises(Suspended),
        ):
            caller.as_app(record, lambda app: app.mint(10, 1, {"checks": "write"}))

    def test_a_token_is_asked_for_one_repository_and_the_permissions_named(self, caller: Caller) -> None:
        path = "/app/installations/10/access_tokens"
        answer = {"token": TOKEN, "expires_at": "2026-11-22T13:00:00Z"}
        with stand_in(Expected("POST", path, 201, answer), Expected("POST", path, 201, answer)) as record:

            async def twice(app: GitHubApp) -> Any:
                one = await app.mint(10, 100, {"checks": "write", "contents": "read"})
                return one, await app.mint(10, None, {"metadata": "read"})

            assert caller.as_app(record, twice) == (TOKEN, TOKEN)
        bodies = [heard.body for heard in record.heard]
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
    def test_why_no_token_was_minted(self, caller: Caller, message: str, problem: type[GitHubProblem]) -> None:
        expected = Expected("POST", "/app/installations/10/access_tokens", 422, {"message": message})
        with stand_in(expected) as record, pytest.raises(problem) as caught:
            caller.as_app(record, lambda app: app.mint(10, 100, {"issues": "write"}))
        assert type(caught.value) is problem

    def test_deliveries_are_read_page_by_page_until_they_are_too_old(self, caller: Caller) -> None:
        def sent(number: int, hour: int, **more: Any) -> dict[str, Any]:
            at = f"2026-11-22T{hour:02}:00:00Z"
            return {"id": number, "guid": f"g{number}", "delivered_at": at, "event": "push", "status_code": 202, **more}

        first = [sent(3, 11, action=None, installation_id=None, repository_id=None), sent(2, 10, status_code=0)]
        link = '<{url}/app/hook/deliveries?per_page=100&cursor=v1_9%2C8>; rel="next"'
        with stand_in(
            Expected("GET", "/app/hook/deliveries?per_page=100", body=first, headers={"Link": link}),
            Expected("GET", "/app/hook/deliveries?per_page=100&cursor=v1_9%2C8", body=[sent(1, 8), sent(0, 7)]),
        ) as record:

            async def listed(app: GitHubApp) -> Any:
                return [delivery async for delivery in app.deliveries(NOW - timedelta(hours=4))]

            found = caller.as_app(record, listed)
        assert [(d.id, d.guid, d.status_code, d.action, d.installation_id) for d in found] == [
            (3, "g3", 202, "", 0),
            (2, "g2", 0, "", 0),
            (1, "g1", 202, "", 0),
        ]
        assert found[0].delivered_at == datetime(2026, 11, 22, 11, tzinfo=UTC)

    def test_a_delivery_is_asked_for_again_once(self, caller: Caller) -> None:
        with stand_in(Expected("POST", "/app/hook/deliveries/3/attempts", 202, {})) as record:
            caller.as_app(record, lambda app: app.redeliver(3))

    def test_installations_are_listed_over_pages(self, caller: Caller) -> None:
        pages = [[{"id": n, "account": None} for n in range(100)], [{"id": 100, "account": {"id": 1, "slug": "big"}}]]
        with stand_in(
            Expected("GET", "/app/installations?per_page=100&page=1", body=pages[0]),
            Expected("GET", "/app/installations?per_page=100&page=2", body=pages[1]),
        ) as record:
            found = caller.as_app(record, lambda app: app.installations())
        assert [i.installation_id for i in found] == list(range(101))
        assert found[100].account_login == "big"

    def test_without_credentials_nothing_is_asked(self) -> None:
        with stand_in() as record, pytest.raises(Unavailable, match="not registered"):
            Caller(None).as_app(record, lambda app: app.app())

    def test_a_key_that_is_no_key_is_said_without_showing_it(self) -> None:
        caller = Caller(AppCredentials(app_id=42, private_key="canary-key", webhook_secrets=("s",)))
        with stand_in() as record, pytest.raises(BadToken) as caught:
            caller.as_app(record, lambda app: app.app())
        assert "canary" not in "".join(traceback.format_exception(caught.value))

    def test_new_credentials_count_at_once(self, caller: Caller, credentials: AppCredentials) -> None:
        with stand_in(Expected("GET", "/app", body={"id": 42}), Expected("GET", "/app", body={"id": 42})) as record:

            async def rotate(app: GitHubApp) -> None:
                await app.app()
                caller.credentials = AppCredentials(app_id=42, private_key=pem(), webhook_secrets=("s",))
                await app.app()

            caller.as_app(record, rotate)
        signatures = {heard.headers["authorization"].rpartition(".")[2] for heard in record.heard}
        assert len(signatures) == 2


class TestAsAnInstallation:
    def test_repositories_are_listed_over_pages_and_archived_covers_disabled(self, caller: Caller) -> None:
        pages = [[repository(n) for n in range(100)], [repository(100, "acme/old", disabled=True)]]
        last = '<{url}/installation/repositories?page=1>; rel="prev"'
        with stand_in(
            Expected("GET", "/installation/repositories?per_page=100&page=1", body={"repositories": pages[0]}),
            Expected(
                "GET",
                "/installation/repositories?per_page=100&page=2",
                body={"total_count": 101, "repositories": pages[1]},
                headers={"Link": last},
            ),
        ) as record:
            found = caller.as_installation(record, lambda client: client.repositories())
        assert len(found) == 101
        assert (found[100].full_name, found[100].archived, found[100].installation_id) == ("acme/old", True, 10)
        assert record.heard[0].headers["authorization"] == f"token {TOKEN}"

    def test_a_renamed_repository_is_followed_on_the_same_host(self, caller: Caller) -> None:
        with stand_in(
            Expected("GET", "/repos/acme/old", 301, {}, {"Location": "{url}/repositories/100"}),
            Expected("GET", "/repositories/100", body=repository(100, "acme/new")),
        ) as record:
            found = caller.as_installation(record, lambda client: client.repository("acme/old", 100))
        assert found.full_name == "acme/new"

    def test_a_name_that_another_repository_has_taken_is_not_mistaken_for_it(self, caller: Caller) -> None:
        listed = {"total_count": 1, "repositories": [repository(100, "acme/moved")]}
        with stand_in(
            Expected("GET", "/repos/acme/shop", body=repository(999)),
            Expected("GET", "/installation/repositories?per_page=100&page=1", body=listed),
        ) as record:
            found = caller.as_installation(record, lambda client: client.repository("acme/shop", 100))
        assert (found.repository_id, found.full_name) == (100, "acme/moved")

    def test_a_repository_that_is_nowhere_is_not_found(self, caller: Caller) -> None:
        with (
            stand_in(
                Expected("GET", "/repos/acme/shop", 404, {"message": "Not Found"}),
                Expected("GET", "/installation/repositories?per_page=100&page=1", body={"repositories": []}),
            ) as record,
            pytest.raises(NotFound),
        ):
            caller.as_installation(record, lambda client: client.repository("acme/shop", 100))

    def test_the_head_of_a_branch_with_slashes_and_signs_is_asked_for_by_a_quoted_path(self, caller: Caller) -> None:
        path = "/repos/acme/shop/commits/heads%2Frel%23ease%2F1%3Fx%25"
        with stand_in(Expected("GET", path, body=SHA.encode())) as record:
            assert caller.as_installation(record, lambda client: client.head("acme/shop", "rel#ease/1?x%")) == SHA
        assert record.heard[0].headers["accept"] == "application/vnd.github.sha"

    def test_an_empty_repository_has_no_head(self, caller: Caller) -> None:
        expected = Expected("GET", HEAD_PATH, 409, {"message": "Git Repository is empty."})
        with stand_in(expected) as record:
            assert caller.as_installation(record, lambda client: client.head("acme/shop", "main")) == ""

    def test_a_branch_that_is_gone_is_not_found(self, caller: Caller) -> None:
        expected = Expected("GET", HEAD_PATH, 422, {"message": "No commit found for SHA: heads/main"})
        assert type(answered(caller, expected)) is NotFound

    @pytest.mark.parametrize("name", ["", "shop", "../app", "acme/..", "acme/.", "acme/", "/shop"])
    def test_a_name_that_climbs_is_never_asked_for(self, caller: Caller, name: str) -> None:
        with stand_in() as record, pytest.raises(Rejected):
            caller.as_installation(record, lambda client: client.head(name, "main"))

    def test_a_name_with_more_slashes_stays_below_its_repository(self, caller: Caller) -> None:
        path = "/repos/acme/shop%2F..%2F..%2Fapp/commits/heads%2Fmain"
        with stand_in(Expected("GET", path, 404, {})) as record, pytest.raises(NotFound):
            caller.as_installation(record, lambda client: client.head("acme/shop/../../app", "main"))

    def test_a_check_run_is_written_complete_in_one_request(self, caller: Caller) -> None:
        with stand_in(Expected("POST", "/repos/acme/shop/check-runs", 201, {"id": 77})) as record:
            assert caller.as_installation(record, lambda client: client.create_check_run("acme/shop", FIELDS)) == 77
        assert record.heard[0].body == {
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
    def test_a_check_run_is_never_written_twice_by_itself(self, caller: Caller, failing: dict[str, Any]) -> None:
        expected = Expected("POST", "/repos/acme/shop/check-runs", **failing)
        with stand_in(expected) as record, pytest.raises(Unavailable):
            caller.as_installation(record, lambda client: client.create_check_run("acme/shop", FIELDS))
        assert len(record.heard) == 1

    def test_a_check_run_is_found_by_its_external_id_among_those_of_this_app(self, caller: Caller) -> None:
        runs = [
            {"id": 1, "name": "assay/screen", "external_id": "assay/screen/7", "app": {"id": 666}},
            {"id": 2, "name": "assay/screen", "external_id": "assay/screen/6", "app": {"id": 42}},
            {"id": 3, "name": "assay/screen", "external_id": None, "app": None},
            {"id": 4, "name": "assay/screen", "external_id": "assay/screen/7", "app": {"id": 42}},
        ]
        query = "check_name=assay%2Fscreen&filter=all&app_id=42&per_page=100&page=1"
        path = f"/repos/acme/shop/commits/{SHA}/check-runs?{query}"
        answer = {"total_count": 4, "check_runs": runs}
        with stand_in(Expected("GET", path, body=answer), Expected("GET", path, body=answer)) as record:

            async def look(client: InstallationClient) -> Any:
                found = await client.find_check_run("acme/shop", SHA, "assay/screen", "assay/screen/7")
                return found, await client.find_check_run("acme/shop", SHA, "assay/screen", "assay/screen/99")

            assert caller.as_installation(record, look) == (4, None)

    def test_automatic_suites_are_turned_off(self, caller: Caller) -> None:
        with stand_in(Expected("PATCH", "/repos/acme/shop/check-suites/preferences", body={})) as record:
            caller.as_installation(record, lambda client: client.turn_off_suites("acme/shop", 42))
        assert record.heard[0].body == {"auto_trigger_checks": [{"app_id": 42, "setting": False}]}

    @pytest.mark.parametrize(
        ("answer", "account_id", "role"),
        [
            ({"permission": "write", "role_name": "maintain", "user": {"id": 5}}, 5, "maintain"),
            ({"permission": "write", "role_name": "maintain", "user": {"id": 6}}, 5, "none"),
            ({"permission": "write", "role_name": "maintain", "user": None}, 5, "none"),
            ({"permission": "admin"}, 0, "admin"),
            ({}, 0, "none"),
        ],
    )
    def test_a_role_is_that_of_the_account_and_not_of_the_login(
        self, caller: Caller, answer: dict[str, Any], account_id: int, role: str
    ) -> None:
        with stand_in(Expected("GET", "/repos/acme/shop/collaborators/al%20ice/permission", body=answer)) as record:
            found = caller.as_installation(record, lambda client: client.role("acme/shop", "al ice", account_id))
        assert found == role

    def test_who_is_unknown_has_no_role(self, caller: Caller) -> None:
        expected = Expected("GET", "/repos/acme/shop/collaborators/bob/permission", 404, {})
        with stand_in(expected) as record:
            assert caller.as_installation(record, lambda client: client.role("acme/shop", "bob")) == "none"

    def test_an_account_is_asked_for_its_login(self, caller: Caller) -> None:
        with stand_in(Expected("GET", "/user/5", body={"id": 5, "login": "alice"})) as record:
            assert caller.as_installation(record, lambda client: client.user_login(5)) == "alice"

    def test_a_comment_is_read_and_never_shown_when_printed(self, caller: Caller) -> None:
        answer = {
            "id": 8,
            "body": "/screen canary",
            "user": {"id": 5, "login": "alice", "type": "User"},
            "issue_url": "https://elsewhere.example/repos/acme/shop/issues/12",
        }
        with stand_in(Expected("GET", "/repos/acme/shop/issues/comments/8", body=answer)) as record:
            comment = caller.as_installation(record, lambda client: client.comment("acme/shop", 8))
        assert comment == Comment(5, "alice", "User", "/screen canary", 12)
        assert "canary" not in repr(comment)

    def test_a_comment_of_nobody_is_read_too(self, caller: Caller) -> None:
        answer = {"id": 8, "body": None, "user": None}
        with stand_in(Expected("GET", "/repos/acme/shop/issues/comments/8", body=answer)) as record:
            comment = caller.as_installation(record, lambda client: client.comment("acme/shop", 8))
        assert comment == Comment(0, "", "", "", 0)

    def test_a_reaction_may_be_sent_twice(self, caller: Caller) -> None:
        path = "/repos/acme/shop/issues/comments/8/reactions"
        with stand_in(Expected("POST", path, 503, b""), Expected("POST", path, 201, {"id": 1})) as record:
            caller.as_installation(record, lambda client: client.react("acme/shop", 8, "eyes"))
        assert [heard.body for heard in record.heard] == [{"content": "eyes"}] * 2

    def test_printing_a_client_shows_no_token(self, caller: Caller) -> None:
        with stand_in() as record:

            async def printed(client: InstallationClient) -> str:
                return repr(client)

            assert caller.as_installation(record, printed) == "InstallationClient(installation_id=10)"


class TestProblems:
    @pytest.mark.parametrize(
        ("status", "message", "problem"),
        [
            (401, "Bad credentials", BadToken),
            (403, "Resource not accessible by integration", Forbidden),
            (403, "This installation has been suspended", Suspended),
            (404, "Not Found", NotFound),
            (410, "Issues are disabled for this repo", NotFound),
            (422, "Validation Failed", Rejected),
            (409, "Conflict", Rejected),
            (451, "Repository access blocked", Rejected),
            (500, "Server Error", Unavailable),
        ],
    )
    def test_each_status_is_a_kind_of_its_own(
        self, caller: Caller, status: int, message: str, problem: type[GitHubProblem]
    ) -> None:
        assert type(answered(caller, Expected("GET", HEAD_PATH, status, {"message": message}))) is problem

    def test_a_message_is_short_printable_and_without_the_token(self, caller: Caller) -> None:
        message = f"\x1b[31mno {TOKEN}\u202e " + "x" * 5_000
        said = str(answered(caller, Expected("GET", HEAD_PATH, 403, {"message": message})))
        assert said.isprintable()
        assert len(said) < 200
        assert "canary" not in said

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"null", b'{"message": 5}', b"[" * 50_000])
    def test_a_refusal_without_a_message_is_understood_too(self, caller: Caller, body: bytes) -> None:
        assert str(answered(caller, Expected("GET", HEAD_PATH, 404, body))) == "HTTP 404"

    @pytest.mark.parametrize("body", [b"", b"<html>login here</html>", b"{}", b'{"id": "x"}', b"[]", b"\xff"])
    def test_an_answer_of_another_shape_is_no_answer(self, caller: Caller, body: bytes) -> None:
        assert type(answered(caller, Expected("GET", HEAD_PATH, 200, body))) is Unavailable
        with stand_in(Expected("GET", "/app", 200, body)) as record, pytest.raises(Unavailable):
            caller.as_app(record, lambda app: app.app())

    @pytest.mark.parametrize(
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
    def test_a_rate_limit_says_until_when(
        self, caller: Caller, status: int, message: str, headers: dict[str, str], seconds: int
    ) -> None:
        reset = str(int((NOW + timedelta(seconds=900)).timestamp()))
        headers = {name: value.replace("{reset}", reset) for name, value in headers.items()}
        problem = answered(caller, Expected("GET", HEAD_PATH, status, {"message": message}, headers))
        assert isinstance(problem, RateLimited)
        assert problem.until == NOW + timedelta(seconds=seconds)
        assert not caller.clock.slept

    @pytest.mark.parametrize("failing", [{"status": 502}, {"status": 503}, {"status": 504}, {"hang_up": True}])
    def test_reading_is_tried_three_times_with_short_waits(self, caller: Caller, failing: dict[str, Any]) -> None:
        fail = Expected("GET", HEAD_PATH, **failing)
        with stand_in(fail, fail, Expected("GET", HEAD_PATH, body=SHA.encode())) as record:
            assert caller.as_installation(record, lambda client: client.head("acme/shop", "main")) == SHA
        first, second = caller.clock.slept
        assert 0.5 <= first <= 1.5
        assert 1.0 <= second <= 3.0

    def test_reading_is_not_tried_for_ever(self, caller: Caller) -> None:
        with stand_in(*[Expected("GET", HEAD_PATH, 503)] * 3) as record, pytest.raises(Unavailable):
            caller.as_installation(record, lambda client: client.head("acme/shop", "main"))

    def test_an_answer_of_many_megabytes_is_not_read(self, caller: Caller) -> None:
        problem = answered(caller, Expected("GET", HEAD_PATH, 200, b" " * (11 << 20)))
        assert isinstance(problem, Unavailable)
        assert "10 MB" in str(problem)

    def test_a_packed_answer_is_not_unpacked(self, caller: Caller) -> None:
        bomb = Expected("GET", HEAD_PATH, 200, b"\x1f\x8b", {"Content-Encoding": "gzip"})
        assert "packed" in str(answered(caller, bomb))

    def test_nobody_listening_is_unavailable_and_shows_no_token(self, caller: Caller) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            record = StandIn(f"http://127.0.0.1:{taken.getsockname()[1]}", [])
            with pytest.raises(Unavailable) as caught:
                caller.as_installation(record, lambda client: client.head("acme/shop", "main"))
        assert "canary" not in "".join(traceback.format_exception(caught.value))
        assert len(caller.clock.slept) == 2


class TestRedirects:
    @pytest.mark.parametrize(
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
    def test_nobody_is_followed_to_another_host_or_out_of_the_api(self, caller: Caller, location: str) -> None:
        problem = answered(caller, Expected("GET", HEAD_PATH, 302, {}, {"Location": location}))
        assert isinstance(problem, Elsewhere | Unavailable)
        assert "evil" not in str(problem)

    def test_circles_end(self, caller: Caller) -> None:
        again = Expected("GET", HEAD_PATH, 302, {}, {"Location": "{url}" + HEAD_PATH})
        with stand_in(*[again] * 4) as record, pytest.raises(Unavailable, match="circles"):
            caller.as_installation(record, lambda client: client.head("acme/shop", "main"))

    def test_a_write_is_never_redirected(self, caller: Caller) -> None:
        path = "/repos/acme/shop/check-runs"
        for location, problem in (("{url}/repositories/100/check-runs", Moved), ("https://evil.example/", Elsewhere)):
            with (
                stand_in(Expected("POST", path, 307, {}, {"Location": location})) as record,
                pytest.raises(problem),
            ):
                caller.as_installation(record, lambda client: client.create_check_run("acme/shop", FIELDS))


class TestPace:
    def test_the_budget_is_told(self, caller: Caller) -> None:
        headers = {"x-ratelimit-remaining": "4998", "x-ratelimit-limit": "5000"}
        with stand_in(Expected("GET", "/app", body={"id": 42}, headers=headers)) as record:
            caller.as_app(record, lambda app: app.app())
        assert caller.budget == [(4998, 5000)]

    def test_no_budget_is_told_where_there_are_no_headers_or_odd_ones(self, caller: Caller) -> None:
        odd = {"x-ratelimit-remaining": "many", "x-ratelimit-limit": "5000"}
        with stand_in(
            Expected("GET", "/app", body={"id": 42}), Expected("GET", "/app", body={"id": 42}, headers=odd)
        ) as record:

            async def twice(app: GitHubApp) -> None:
                await app.app()
                await app.app()

            caller.as_app(record, twice)
        assert caller.budget == []

    def test_who_asks_too_much_is_put_off_before_github_has_to_and_others_are_not(self, caller: Caller) -> None:
        def minted(installation_id: int) -> Expected:
            return Expected("POST", f"/app/installations/{installation_id}/access_tokens", 201, {"token": TOKEN})

        with stand_in(*[minted(10)] * 180, minted(11)) as record:

            async def many(app: GitHubApp) -> None:
                for _ in range(180):
                    await app.mint(10, 100, {"checks": "write"})
                await app.mint(11, 100, {"checks": "write"})
                await app.mint(10, 100, {"checks": "write"})

            with pytest.raises(RateLimited) as caught:
                caller.as_app(record, many)
        assert caught.value.until == NOW + timedelta(minutes=1)


class TestSurroundings:
    def test_credentials_of_a_netrc_are_not_used(
        self, caller: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login canary password canary\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("HOME", str(tmp_path))
        with stand_in(Expected("GET", HEAD_PATH, body=SHA.encode())) as record:
            caller.as_installation(record, lambda client: client.head("acme/shop", "main"))
        assert record.heard[0].headers["authorization"] == f"token {TOKEN}"

    def test_the_proxy_of_the_environment_is_used(self, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        with stand_in(Expected("GET", "http://github.test/api/v3/app", body={"id": 42})) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/api/v3"))
            monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/api/v3"))
            monkeypatch.setenv("no_proxy", "")
            caller.as_app(StandIn("http://github.test/api/v3", []), lambda app: app.app())

    def test_a_bundle_without_certificates_is_named(self, caller: Caller, tmp_path: Path) -> None:
        (tmp_path / "bundle.pem").write_text("not one")
        with pytest.raises(AssayError, match=r"bundle\.pem .*ASSAY_CA_BUNDLE"):
            caller.app("https://github.test", ca_bundle=tmp_path / "bundle.pem")

    def test_a_proxy_of_another_kind_is_named(self, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:1")
        with pytest.raises(AssayError, match="HTTPS_PROXY"):
            caller.app("https://github.test")
