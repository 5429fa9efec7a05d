"""GraphQL over real HTTP: endpoint, request, errors; and reading a person's token."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.github.endpoints import GitHubServer, graphql_url
from bot.github.errors import BadToken, Forbidden, ForeignRedirect, RateLimited, Unavailable
from bot.github.evidence.graphql_client import GraphQlClient, evidence_for_token, parse_token, read_token
from bot.github.evidence.graphql_response import GraphQlResponse
from bot.github.request import GitHubSession
from pipeline.records import AssayError
from tests.bot.github.fake_server import Expected, FakeServer, fake_server
from tests.bot.github.test_client import NOW, TOKEN, FakeClock
from tests.rows import each_row

PATH = "/api/graphql"
GOOD = {"data": {"repository": None}}


def github_server(server: FakeServer) -> GitHubServer:
    return GitHubServer("http://127.0.0.1", server.url, "2022-11-28")


def query(server: FakeServer, times: int = 1, clock: FakeClock | None = None) -> GraphQlResponse:
    async def talk() -> GraphQlResponse:
        async with evidence_for_token(github_server(server), TOKEN, clock or FakeClock()) as client:
            for _ in range(times - 1):
                await client("query { a }", {})
            return await client("query { a }", {"size": 5})

    return asyncio.run(talk())


@pytest.mark.parametrize(
    ("api_url", "expected"),
    [
        ("https://api.github.com", "https://api.github.com/graphql"),
        ("https://api.acme.ghe.com", "https://api.acme.ghe.com/graphql"),
        ("https://github.acme.test/api/v3", "https://github.acme.test/api/graphql"),
    ],
)
def test_graphql_is_next_to_rest(api_url: str, expected: str) -> None:
    assert graphql_url(GitHubServer("https://github.com", api_url, "2022-11-28")) == expected


def test_a_query_is_one_authenticated_post() -> None:
    with fake_server(Expected("POST", PATH, body=GOOD)) as server:
        assert query(server).data == {"repository": None}
    (request,) = server.received
    assert request.body == {"query": "query { a }", "variables": {"size": 5}}
    assert request.headers["authorization"] == f"token {TOKEN}"
    assert request.headers["graphql-features"] == "issue_types"


def test_a_graphql_clients_repr_does_not_show_its_token() -> None:
    session = GitHubSession(GitHubServer("https://g.test", "https://api.g.test", "1"), FakeClock(), lambda a, b: None)
    assert TOKEN not in repr(GraphQlClient(session, 10, TOKEN))
    asyncio.run(session.close())


@each_row(
    ("answer", "headers", "wait"),
    [
        ({"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]},
         {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 900)}, 900),
        ({"data": None, "errors": [{"type": "RATE_LIMIT", "message": "API rate limit exceeded"}]}, {}, 60),
        ({"errors": [{"message": "You have exceeded a secondary rate limit."}]}, {"retry-after": "30"}, 30),
        ({"errors": [{"type": "RATE_LIMITED", "message": ""}]}, {}, 60),
    ],
)  # fmt: skip
def test_a_rate_limit_with_status_200_is_recognised(answer: Any, headers: dict[str, str], wait: int) -> None:
    with (
        fake_server(Expected("POST", PATH, body=answer, headers=headers)) as server,
        pytest.raises(RateLimited) as caught,
    ):
        query(server)
    assert caught.value.until == NOW + timedelta(seconds=wait)


@each_row(
    ("expected", "problem"),
    [
        (Expected("POST", PATH, 401, {"message": "Bad credentials"}), BadToken),
        (Expected("POST", PATH, 403, {"message": "Resource not accessible by integration"}), Forbidden),
        (Expected("POST", PATH, 403, {"message": "You have exceeded a secondary rate limit."}), RateLimited),
        (Expected("POST", PATH, 502, {"data": None, "errors": [{"message": "Something went wrong"}]}), Unavailable),
        (Expected("POST", PATH, 200, b"<html>"), Unavailable),
        (Expected("POST", PATH, 301, {}, {"location": "https://elsewhere.test/graphql"}), ForeignRedirect),
    ],
)
def test_failures_are_classified_and_not_retried(expected: Expected, problem: type[Exception]) -> None:
    with fake_server(expected) as server, pytest.raises(problem):
        query(server)


def test_queries_without_a_response_are_retried() -> None:
    clock = FakeClock()
    with fake_server(Expected("POST", PATH, hang_up=True), Expected("POST", PATH, body=GOOD)) as server:
        assert query(server, clock=clock).data == {"repository": None}
    assert len(clock.slept) == 1


def test_a_query_costs_as_much_as_a_read() -> None:
    """At five points each, the 181st would have to wait."""
    clock = FakeClock()
    with fake_server(*[Expected("POST", PATH, body=GOOD)] * 200) as server:
        query(server, 200, clock)
    assert clock.slept == []


def test_graphqls_budget_is_not_reported_as_rests() -> None:
    headers = {"x-ratelimit-remaining": "7", "x-ratelimit-limit": "5000", "x-ratelimit-resource": "graphql"}
    reported: list[tuple[int, int]] = []

    async def talk(server: FakeServer) -> None:
        session = GitHubSession(
            github_server(server), FakeClock(), lambda remaining, limit: reported.append((remaining, limit))
        )
        await GraphQlClient(session, 10, TOKEN)("query { a }", {})
        await session.close()

    with fake_server(Expected("POST", PATH, body=GOOD, headers=headers)) as server:
        asyncio.run(talk(server))
    assert reported == []


def unread() -> str:
    raise AssertionError("standard input was read")


class TestToken:
    @each_row(
        ("option", "environment", "standard_input", "expected"),
        [
            (None, "", unread, None),
            (None, "  ", unread, None),
            (None, f" {TOKEN}\n", unread, TOKEN),
            ("-", "", lambda: f"{TOKEN}\n", TOKEN),
            ("-", "ghp_another", lambda: TOKEN, TOKEN),
        ],
    )
    def test_a_token_is_read_from_standard_input_or_the_environment(
        self, option: str | None, environment: str, standard_input: Callable[[], str], expected: str | None
    ) -> None:
        assert read_token(option, environment, standard_input) == expected

    def test_a_token_is_read_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text(f"{TOKEN}\n")
        assert read_token(str(tmp_path / "token"), "", unread) == TOKEN

    @each_row("text", ["", "\n", "two words", "two\nlines", "ghp_\x00", "gh\u00fc", "x" * 2_000])
    def test_invalid_tokens_are_refused_and_not_quoted(self, text: str) -> None:
        with pytest.raises(AssayError) as caught:
            parse_token(text, "standard input")
        assert "standard input" in str(caught.value)
        assert not text.strip() or text.strip() not in str(caught.value)

    @each_row("value", [TOKEN, "ghp_" + "a" * 36, "github_pat_" + "b" * 40, "0f" * 20])
    def test_a_token_as_an_argument_is_refused_and_not_quoted(self, value: str) -> None:
        with pytest.raises(AssayError, match="ASSAY_GITHUB_TOKEN") as caught:
            read_token(value, "", unread)
        assert value not in str(caught.value)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(AssayError, match="--github-token: cannot read"):
            read_token(str(tmp_path / "none"), "", unread)


def test_evidence_imports_no_test_dependencies() -> None:
    code = "import sys, bot.github.evidence.fetch, bot.github.evidence.graphql_client; print('graphql' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
