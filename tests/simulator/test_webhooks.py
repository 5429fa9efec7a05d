"""Deliveries as received, and as listed by the API."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from datetime import timedelta


def test_a_signature_covers_the_sent_bytes(world):
    world.shop.pushed()
    world.github.settle()
    headers, body = next(taken for taken in world.receiver.taken if taken[0]["x-github-event"] == "push")
    expected = hmac.new(world.app.webhook_secret.encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-hub-signature-256"] == f"sha256={expected}"
    assert headers["user-agent"].startswith("GitHub-Hookshot/")
    assert headers["x-github-hook-installation-target-id"] == str(world.app.app_id)
    assert json.loads(body)["installation"]["id"] == world.installation.installation_id


def test_payloads_contain_text_that_must_not_be_kept(world):
    world.github.noise.canary = "the-canary"
    sent = world.shop.pushed() + world.shop.archive()
    world.shop.comment("alice", "/screen")
    for delivery in [*sent, world.github.deliveries[-1]]:
        assert "the-canary" in delivery.content.decode()


def test_a_redelivery_has_the_same_guid_and_another_id(world):
    (first, _) = world.shop.pushed()
    first.wait()
    response = world.ask("POST", f"/app/hook/deliveries/{first.delivery_id}/attempts", token=world.as_app())
    assert response.status_code == 202
    world.github.settle()
    again = world.github.deliveries[-1]
    assert (again.guid, again.redelivery, again.content) == (first.guid, True, first.content)
    assert again.delivery_id != first.delivery_id


def test_concurrent_redeliveries(world):
    (first, _) = world.shop.pushed()
    world.github.redeliver(first, times=10)
    world.github.settle()
    assert [headers["x-github-delivery"] for headers, _ in world.receiver.taken].count(first.guid) == 11


def test_failed_deliveries_are_listed_with_their_status(world):
    world.receiver.status = 500
    world.shop.archive()
    world.github.settle()
    world.app.webhook_url = "http://127.0.0.1:9/webhook"
    world.shop.unarchive()
    world.github.settle()
    listed = world.ask("GET", "/app/hook/deliveries?status=failure", token=world.as_app()).json()
    assert [(each["action"], each["status_code"]) for each in listed] == [("unarchived", 502), ("archived", 500)]
    assert {each["repository_id"] for each in listed} == {world.shop.repository_id}


def test_a_slow_receiver_fails(world):
    world.github.webhooks.timeout_s = 0.05
    world.receiver.before = threading.Event()
    (delivery,) = world.shop.archive()
    assert delivery.wait().status == "timed out"
    world.receiver.before.set()


def test_deliveries_are_paged_by_cursor_and_kept_three_days(world):
    for _ in range(5):
        world.shop.archive()
    world.github.settle()
    seen, path = [], "/app/hook/deliveries?per_page=3"
    while path:
        response = world.ask("GET", path, token=world.as_app())
        seen += [each["id"] for each in response.json()]
        path = response.links.get("next", {}).get("url", "").removeprefix(world.github.api_url)
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 7
    world.clock.advance(timedelta(days=3, seconds=1))
    assert world.ask("GET", "/app/hook/deliveries", token=world.as_app()).json() == []


def test_deliveries_can_be_held_back(world):
    world.github.deliver_now = False
    world.shop.archive()
    world.shop.unarchive()
    world.github.settle()
    assert world.receiver.taken == []
    assert [delivery.action for delivery in world.github.release()] == ["archived", "unarchived"]
    world.github.settle()
    assert len(world.receiver.taken) == 2


def test_an_outage_fails_deliveries_unsent(world):
    world.github.webhooks.outage = True
    (delivery,) = world.shop.archive()
    assert (delivery.wait().status_code, world.receiver.taken) == (503, [])
    world.github.webhooks.outage = False
    world.github.redeliver(delivery)
    world.github.settle()
    assert len(world.receiver.taken) == 1


def test_an_app_receives_only_permitted_subscribed_events(world):
    world.app.events = ("push", "issue_comment")
    world.installation.permissions = {"metadata": "read", "contents": "read"}
    world.shop.archive()
    world.shop.comment("alice", "/screen")
    assert [delivery.event for delivery in world.shop.pushed()] == ["push"]
    world.installation.suspend()
    assert world.shop.pushed() == []


def test_events_of_an_installation_reach_every_app(world):
    world.app.events = ()
    other = world.acme.repository("other")
    world.installation.add(other)
    world.installation.remove(other)
    world.installation.suspend()
    world.installation.unsuspend()
    world.installation.accept_permissions({"checks": "write", "metadata": "read"})
    world.installation.uninstall()
    world.app.revoke_authorization("alice")
    world.app.ping()
    told = [(each.event, each.action) for each in world.github.deliveries[2:]]
    assert told == [
        ("installation_repositories", "added"),
        ("installation_repositories", "removed"),
        ("installation", "suspend"),
        ("installation", "unsuspend"),
        ("installation", "new_permissions_accepted"),
        ("installation", "deleted"),
        ("github_app_authorization", "revoked"),
        ("ping", ""),
    ]


def test_a_changed_secret_signs_later_deliveries(world):
    world.app.webhook_secret = "new"
    world.shop.archive()
    world.github.settle()
    headers, body = world.receiver.taken[0]
    assert headers["x-hub-signature-256"] == f"sha256={hmac.new(b'new', body, hashlib.sha256).hexdigest()}"


def test_ghes_deliveries_name_their_server(ghes):
    ghes.shop.archive()
    ghes.github.settle()
    headers, _ = ghes.receiver.taken[0]
    assert headers["x-github-enterprise-version"] == "3.19.0"
    assert ghes.ask("GET", "/repos/acme/shop").headers["x-github-enterprise-version"] == "3.19.0"
