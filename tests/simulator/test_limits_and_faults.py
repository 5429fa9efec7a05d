"""Rate limits and faults."""

from __future__ import annotations

import threading

import httpx
import pytest

from tests.rows import each_row
from tests.simulator.faults import before, cut, forbidden, lost, redirect, stall, status, unauthorized

SHOP = "/repos/acme/shop"


def write(world, number=0):
    run = {"name": f"n{number}", "head_sha": world.head, "status": "queued"}
    return world.ask("POST", f"{SHOP}/check-runs", run)


def test_eighty_content_writes_fit_into_a_minute(world):
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


def test_five_hundred_content_writes_fit_into_an_hour(world):
    world.github.limits.writes_an_hour = 3
    for number in range(3):
        assert write(world, number).status_code == 201
        world.clock.advance(90)
    assert int(write(world).headers["retry-after"]) > 3_000
    other = world.app.install(world.github.account("globex"), [])
    assert world.github.limits.peak_hour(other.installation_id) == 0


def test_nine_hundred_points_fit_into_a_minute(world):
    world.github.limits.points_a_minute = 11
    assert [write(world, number).status_code for number in range(3)] == [201, 201, 403]
    assert [world.ask("GET", SHOP).status_code for _ in range(2)] == [200, 403]


@pytest.mark.parametrize(("hint", "header"), [("reset", "x-ratelimit-reset"), ("none", None)])
def test_a_secondary_limits_hint_is_configurable(world, hint, header):
    world.github.limits.writes_a_minute = 0
    world.github.limits.hint = hint
    refused = write(world)
    assert refused.status_code == 403
    assert "retry-after" not in refused.headers
    if header is not None:
        assert int(refused.headers[header]) > world.clock.now().timestamp()


def test_the_primary_limit_is_reported_in_headers(world):
    world.github.limits.primary = 3
    left = [world.ask("GET", SHOP).headers["x-ratelimit-remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    refused = world.ask("GET", SHOP)
    assert refused.status_code == 403
    assert refused.headers["x-ratelimit-remaining"] == "0"
    world.clock.advance(int(refused.headers["x-ratelimit-reset"]) - world.clock.now().timestamp())
    token = world.installation.token()
    assert world.ask("GET", SHOP, token=token).status_code == 200


def test_ghes_has_no_limits(ghes):
    response = ghes.ask("GET", SHOP)
    assert not [name for name in response.headers if name.startswith("x-ratelimit")]
    assert ghes.ask("GET", "/rate_limit").status_code == 404


def test_concurrent_requests_are_limited(world):
    world.github.limits.at_once = 2
    world.github.fault(
        "GET .*", before(threading.Barrier(5).wait), times=5
    )  # all of them are there before any is answered
    responses: list[int] = []

    def ask():
        with httpx.Client(trust_env=False, verify=False) as http:
            headers = {"authorization": f"Bearer {world.token}"}
            responses.append(http.get(world.github.api_url + SHOP, headers=headers).status_code)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(responses)) == [200, 403]
    assert world.github.limits.most_at_once == 5


@each_row(
    ("fault", "code"),
    [(status(500), 500), (status(502), 502), (forbidden(), 403), (forbidden("none"), 403), (unauthorized(), 401),
     (redirect("http://elsewhere.example/"), 301)],
)  # fmt: skip
def test_a_fault_hits_the_next_requests(world, fault, code):
    rule = world.github.fault(f"GET {SHOP}", fault, times=2)
    assert [world.ask("GET", SHOP).status_code for _ in range(3)] == [code, code, 200]
    assert rule.met == 2
    assert [seen.status for seen in world.github.requests[-3:]] == [code, code, 200]


def test_a_fault_hits_only_matching_requests(world):
    world.github.fault("POST .*/check-runs", status(502))
    assert world.ask("GET", SHOP).status_code == 200
    assert write(world).status_code == 502


def test_a_connection_can_be_cut(world):
    world.github.fault("GET .*", cut())
    with pytest.raises(httpx.TransportError):
        world.ask("GET", SHOP)
    world.github.fault("GET .*", cut(after_bytes=20))
    with pytest.raises(httpx.RemoteProtocolError):
        world.ask("GET", SHOP)
    assert world.ask("GET", SHOP).status_code == 200


def test_a_response_can_stall(world):
    world.github.fault("GET .*", stall())
    with pytest.raises(httpx.ReadTimeout):
        world.ask("GET", SHOP, timeout=0.05)


def test_a_response_to_a_write_can_be_lost(world):
    world.github.fault("POST .*/check-runs", lost(status(502)))
    assert write(world).status_code == 502
    assert len(world.shop.check_runs) == 1
    world.github.fault("POST .*/check-runs", lost())
    with pytest.raises(httpx.TransportError):
        write(world)
    assert len(world.shop.check_runs) == 2


def test_an_action_can_precede_a_response(world):
    world.github.fault(f"GET {SHOP}", before(world.installation.uninstall))
    assert world.ask("GET", SHOP).status_code == 401
    assert world.installation.is_gone


def test_invalid_requests_are_violations(world):
    assert world.ask("GET", "/repos/acme/shop/secrets").status_code == 404
    assert world.ask("GET", SHOP, headers={"x-github-api-version": "1999-01-01"}).status_code == 400
    assert world.ask("GET", SHOP, headers={"user-agent": ""}).status_code == 403
    assert world.ask("GET", "/installation/repositories?per_page=lots").status_code == 422
    assert len(world.clear_violations()) == 4


def test_violations_fail_their_test(tmp_path):
    from tests.simulator.world import make_world

    with pytest.raises(AssertionError, match="check-run"), make_world(tmp_path) as world:
        world.ask("POST", f"{SHOP}/check-runs", {"name": "n"})


def test_ghes_rejects_newer_api_versions(ghes):
    assert ghes.ask("GET", SHOP, headers={"x-github-api-version": "2026-03-10"}).status_code == 400
    ghes.clear_violations()
