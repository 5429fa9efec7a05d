"""GraphQL over real HTTP: where it is asked, with what, and what each failure becomes; and a person's token."""

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
from bot.github.errors import BadToken, Elsewhere, Forbidden, RateLimited, Unavailable
from bot.github.evidence.graphql_client import GraphQlClient, evidence_for_token, parse_token, read_token
from bot.github.evidence.graphql_response import Reply
from bot.github.request import Exchange
from pipeline.records import AssayError
from tests.bot.github.stand_in import Expected, StandIn, stand_in
from tests.bot.github.test_client import NOW, TOKEN, StillClock

PATH = "/api/graphql"
GOOD = {"data": {"repository": None}}


def server(record: StandIn) -> GitHubServer:
    return GitHubServer("http://127.0.0.1", record.url, "2022-11-28")


def ask(record: StandIn, times: int = 1, clock: StillClock | None = None) -> Reply:
    async def talk() -> Reply:
        async with evidence_for_token(server(record), TOKEN, clock or StillClock()) as client:
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
def test_graphql_is_beside_rest(api_url: str, expected: str) -> None:
    assert graphql_url(GitHubServer("https://github.com", api_url, "2022-11-28")) == expected


def test_a_query_is_one_post_with_the_token_and_without_it_anywhere_else() -> None:
    with stand_in(Expected("POST", PATH, body=GOOD)) as record:
        assert ask(record).data == {"repository": None}
    (heard,) = record.heard
    assert heard.body == {"query": "query { a }", "variables": {"size": 5}}
    assert heard.headers["authorization"] == f"token {TOKEN}"
    assert heard.headers["graphql-features"] == "issue_types"


def test_a_client_does_not_show_its_token() -> None:
    exchange = Exchange(GitHubServer("https://g.test", "https://api.g.test", "1"), StillClock(), lambda a, b: None)
    assert TOKEN not in repr(GraphQlClient(exchange, 10, TOKEN))
    asyncio.run(exchange.close())


@pytest.mark.parametrize(
    ("answer", "headers", "wait"),
    [
        ({"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]},
         {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(NOW.timestamp()) + 900)}, 900),
        ({"data": None, "errors": [{"type": "RATE_LIMIT", "message": "API rate limit exceeded"}]}, {}, 60),
        ({"errors": [{"message": "You have exceeded a secondary rate limit."}]}, {"retry-after": "30"}, 30),
        ({"errors": [{"type": "RATE_LIMITED", "message": ""}]}, {}, 60),
    ],
)  # fmt: skip
def test_a_limit_told_with_200_is_a_limit(answer: Any, headers: dict[str, str], wait: int) -> None:
    with stand_in(Expected("POST", PATH, body=answer, headers=headers)) as record, pytest.raises(RateLimited) as caught:
        ask(record)
    assert caught.value.until == NOW + timedelta(seconds=wait)


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        (Expected("POST", PATH, 401, {"message": "Bad credentials"}), BadToken),
        (Expected("POST", PATH, 403, {"message": "Resource not accessible by integration"}), Forbidden),
        (Expected("POST", PATH, 403, {"message": "You have exceeded a secondary rate limit."}), RateLimited),
        (Expected("POST", PATH, 502, {"data": None, "errors": [{"message": "Something went wrong"}]}), Unavailable),
        (Expected("POST", PATH, 200, b"<html>"), Unavailable),
        (Expected("POST", PATH, 301, {}, {"location": "https://elsewhere.test/graphql"}), Elsewhere),
    ],
)
def test_each_failure_is_asked_once_and_is_of_its_kind(expected: Expected, problem: type[Exception]) -> None:
    with stand_in(expected) as record, pytest.raises(problem):
        ask(record)


def test_where_nobody_answered_it_is_asked_again() -> None:
    clock = StillClock()
    with stand_in(Expected("POST", PATH, hang_up=True), Expected("POST", PATH, body=GOOD)) as record:
        assert ask(record, clock=clock).data == {"repository": None}
    assert len(clock.slept) == 1


def test_a_query_counts_as_a_read() -> None:
    """At five points each 181 of them would have to wait."""
    clock = StillClock()
    with stand_in(*[Expected("POST", PATH, body=GOOD)] * 200) as record:
        ask(record, 200, clock)
    assert clock.slept == []


def test_graphqls_budget_is_not_taken_for_that_of_rest() -> None:
    headers = {"x-ratelimit-remaining": "7", "x-ratelimit-limit": "5000", "x-ratelimit-resource": "graphql"}
    told: list[tuple[int, int]] = []

    async def talk(record: StandIn) -> None:
        exchange = Exchange(server(record), StillClock(), lambda remaining, limit: told.append((remaining, limit)))
        await GraphQlClient(exchange, 10, TOKEN)("query { a }", {})
        await exchange.close()

    with stand_in(Expected("POST", PATH, body=GOOD, headers=headers)) as record:
        asyncio.run(talk(record))
    assert told == []


def nobody() -> str:
    raise AssertionError("standard input was read")


class TestToken:
    @pytest.mark.parametrize(
        ("option", "environment", "standard_input", "expected"),
        [
            (None, "", nobody, None),
            (None, "  ", nobody, None),
            (None, f" {TOKEN}\n", nobody, TOKEN),
            ("-", "", lambda: f"{TOKEN}\n", TOKEN),
            ("-", "ghp_another", lambda: TOKEN, TOKEN),
        ],
    )
    def test_it_comes_from_standard_input_or_the_environment(
        self, option: str | None, environment: str, standard_input: Callable[[], str], expected: str | None
    ) -> None:
        assert read_token(option, environment, standard_input) == expected

    def test_it_comes_from_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text(f"{TOKEN}\n")
        assert read_token(str(tmp_path / "token"), "", nobody) == TOKEN

    @pytest.mark.parametrize("text", ["", "\n", "two words", "two\nlines", "ghp_\x00", "gh\u00fc", "x" * 2_000])
    def test_what_cannot_be_one_is_refused_and_not_repeated(self, text: str) -> None:
        with pytest.raises(AssayError) as caught:
            parse_token(text, "standard input")
        assert "standard input" in str(caught.value)
        assert not text.strip() or text.strip() not in str(caught.value)

    @pytest.mark.parametrize("value", [TOKEN, "ghp_" + "a" * 36, "github_pat_" + "b" * 40, "0f" * 20])
    def test_the_token_itself_as_an_argument_is_refused_and_not_repeated(self, value: str) -> None:
        with pytest.raises(AssayError, match="ASSAY_GITHUB_TOKEN") as caught:
            read_token(value, "", nobody)
        assert value not in str(caught.value)

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(AssayError, match="--github-token: cannot read"):
            read_token(str(tmp_path / "none"), "", nobody)


def test_the_evidence_is_imported_without_what_only_a_test_needs() -> None:
    code = "import sys, bot.github.evidence.fetch, bot.github.evidence.graphql_client; print('graphql' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
