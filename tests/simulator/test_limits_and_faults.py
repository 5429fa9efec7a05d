"""Rate limits, and the ways in which GitHub fails."""

from __future__ import annotations

import threading

import httpx
import pytest

from tests.simulator.faults import before, cut, forbidden, lost, redirect, stall, status, unauthorized

SHOP = "/repos/acme/shop"


def write(world, number=0):
    run = {"name": f"n{number}", "head_sha": world.head, "status": "queued"}
    return world.ask("POST", f"{SHOP}/check-runs", run)


def test_eighty_content_writes_a_minute(world):
    for number in range(80):
        assert write(world, number).status_code == 201
    refused = write(world)
    assert refused.status_code == 403
    assert "secondary rate limit" in refused.json()["message"]
    assert 1 <= int(refused.headers["retry-after"]) <= 61
    world.clock.advance(int(refused.headers["retry-after"]))
    assert write(world).status_code == 201
    limits = world.github.limits
    assert (limits.peak_minute(), limits.peak_hour(), limits.refused()) == (80, 81, 1)


def test_five_hundred_content_writes_an_hour(world):
    world.github.limits.writes_an_hour = 3
    for number in range(3):
        assert write(world, number).status_code == 201
        world.clock.advance(90)
    assert int(write(world).headers["retry-after"]) > 3_000
    other = world.app.install(world.github.account("globex"), [])
    assert world.github.limits.peak_hour(other.installation_id) == 0


def test_nine_hundred_points_a_minute(world):
    world.github.limits.points_a_minute = 11
    assert [write(world, number).status_code for number in range(3)] == [201, 201, 403]
    assert [world.ask("GET", SHOP).status_code for _ in range(2)] == [200, 403]


@pytest.mark.parametrize(("hint", "header"), [("reset", "x-ratelimit-reset"), ("none", None)])
def test_the_hint_of_a_secondary_limit_may_be_another_or_none(world, hint, header):
    world.github.limits.writes_a_minute = 0
    world.github.limits.hint = hint
    refused = write(world)
    assert refused.status_code == 403
    assert "retry-after" not in refused.headers
    if header is not None:
        assert int(refused.headers[header]) > world.clock.now().timestamp()


def test_the_primary_limit_is_told_in_headers_until_it_is_used_up(world):
    world.github.limits.primary = 3
    left = [world.ask("GET", SHOP).headers["x-ratelimit-remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    refused = world.ask("GET", SHOP)
    assert refused.status_code == 403
    assert refused.headers["x-ratelimit-remaining"] == "0"
    world.clock.advance(int(refused.headers["x-ratelimit-reset"]) - world.clock.now().timestamp())
    token = world.installation.token()
    assert world.ask("GET", SHOP, token=token).status_code == 200


def test_ghes_tells_of_no_limit(ghes):
    answer = ghes.ask("GET", SHOP)
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
    assert ghes.ask("GET", "/rate_limit").status_code == 404


def test_too_many_at_once(world):
    world.github.limits.at_once = 2
    world.github.fault(
        "GET .*", before(threading.Barrier(5).wait), times=5
    )  # all of them are there before any is answered
    answers: list[int] = []

    def ask():
        with httpx.Client(trust_env=False, verify=False) as http:
            headers = {"authorization": f"Bearer {world.token}"}
            answers.append(http.get(world.github.api_url + SHOP, headers=headers).status_code)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(answers)) == [200, 403]
    assert world.github.limits.most_at_once == 5


@pytest.mark.parametrize(
    ("fault", "code"),
    [(status(500), 500), (status(502), 502), (forbidden(), 403), (forbidden("none"), 403), (unauthorized(), 401),
     (redirect("http://elsewhere.example/"), 301)],
)  # fmt: skip
def test_the_next_so_many_requests_fail(world, fault, code):
    rule = world.github.fault(f"GET {SHOP}", fault, times=2)
    assert [world.ask("GET", SHOP).status_code for _ in range(3)] == [code, code, 200]
    assert rule.met == 2
    assert [seen.status for seen in world.github.requests[-3:]] == [code, code, 200]


def test_a_fault_is_for_what_it_matches_only(world):
    world.github.fault("POST .*/check-runs", status(502))
    assert world.ask("GET", SHOP).status_code == 200
    assert write(world).status_code == 502


def test_the_connection_is_cut(world):
    world.github.fault("GET .*", cut())
    with pytest.raises(httpx.TransportError):
        world.ask("GET", SHOP)
    world.github.fault("GET .*", cut(after_bytes=20))
    with pytest.raises(httpx.RemoteProtocolError):
        world.ask("GET", SHOP)
    assert world.ask("GET", SHOP).status_code == 200


def test_nothing_is_ever_said(world):
    world.github.fault("GET .*", stall())
    with pytest.raises(httpx.ReadTimeout):
        world.ask("GET", SHOP, timeout=0.05)


def test_a_write_is_done_and_its_answer_lost(world):
    world.github.fault("POST .*/check-runs", lost(status(502)))
    assert write(world).status_code == 502
    assert len(world.shop.check_runs) == 1
    world.github.fault("POST .*/check-runs", lost())
    with pytest.raises(httpx.TransportError):
        write(world)
    assert len(world.shop.check_runs) == 2


def test_something_happens_just_before_an_answer(world):
    world.github.fault(f"GET {SHOP}", before(world.installation.uninstall))
    assert world.ask("GET", SHOP).status_code == 401
    assert world.installation.is_gone


def test_what_no_client_may_ask_is_a_violation(world):
    assert world.ask("GET", "/repos/acme/shop/secrets").status_code == 404
    assert world.ask("GET", SHOP, headers={"x-github-api-version": "1999-01-01"}).status_code == 400
    assert world.ask("GET", SHOP, headers={"user-agent": ""}).status_code == 403
    assert world.ask("GET", "/installation/repositories?per_page=lots").status_code == 422
    assert len(world.forgive()) == 4


def test_violations_fail_the_test_that_made_them(tmp_path):
    from tests.simulator.world import make_world

    with pytest.raises(AssertionError, match="check-run"), make_world(tmp_path) as world:
        world.ask("POST", f"{SHOP}/check-runs", {"name": "n"})


def test_ghes_does_not_know_newer_versions_of_the_api(ghes):
    assert ghes.ask("GET", SHOP, headers={"x-github-api-version": "2026-03-10"}).status_code == 400
    ghes.forgive()
