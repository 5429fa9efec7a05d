"""Authentication and tokens."""

from __future__ import annotations

from datetime import timedelta

import jwt
import pytest

from tests.simulator.apps import private_key


def test_an_app_authenticates_with_its_key(world):
    assert world.ask("GET", "/app", token=world.as_app()).json()["slug"] == "assay"
    assert world.ask("GET", "/app", token=world.as_app(iss=world.app.client_id)).status_code == 200


def test_a_jwt_signed_with_another_key_is_refused(world):
    now = int(world.clock.now().timestamp())
    forged = jwt.encode({"iss": str(world.app.app_id), "iat": now, "exp": now + 60}, private_key(99), "RS256")
    assert world.ask("GET", "/app", token=forged).status_code == 401


def test_a_jwt_without_a_signature_is_refused(world):
    now = int(world.clock.now().timestamp())
    forged = jwt.encode({"iss": str(world.app.app_id), "iat": now, "exp": now + 60}, "", "none")
    assert world.ask("GET", "/app", token=forged).status_code == 401


@pytest.mark.parametrize(("iat_s", "exp_s"), [(-10, 3_600), (-700, -60), (600, 900)])
def test_an_expired_or_future_jwt_is_refused(world, iat_s, exp_s):
    now = int(world.clock.now().timestamp())
    response = world.ask("GET", "/app", token=world.as_app(iat=now + iat_s, exp=now + exp_s))
    assert response.status_code == 401
    assert "claim" in response.json()["message"]


def test_tokens_and_jwts_are_not_interchangeable(world):
    assert world.ask("GET", "/app").status_code == 401
    assert world.ask("GET", "/installation/repositories", token=world.as_app()).status_code == 401
    assert world.ask("GET", "/installation/repositories", token="").status_code == 401


def test_a_token_has_only_the_requested_permissions(world):
    path = f"/app/installations/{world.installation.installation_id}/access_tokens"
    wanted = {"permissions": {"contents": "read"}, "repository_ids": [world.shop.repository_id]}
    made = world.ask("POST", path, wanted, token=world.as_app())
    assert made.status_code == 201
    token = made.json()["token"]
    assert token.startswith("ghs_")
    assert len(token) != 40
    assert made.json()["permissions"] == {"contents": "read", "metadata": "read"}
    assert world.ask("GET", "/repos/acme/shop/commits/main", token=token).status_code == 200
    run = {"name": "n", "head_sha": world.head, "status": "queued"}
    refused = world.ask("POST", "/repos/acme/shop/check-runs", run, token=token)
    assert refused.status_code == 403
    assert refused.json()["message"] == "Resource not accessible by integration"
    assert refused.headers["x-accepted-github-permissions"] == "checks=write"


def test_a_token_cannot_exceed_its_installation(world):
    path = f"/app/installations/{world.installation.installation_id}/access_tokens"
    for wanted in ({"permissions": {"administration": "read"}}, {"permissions": {"contents": "write"}},
                   {"repository_ids": [1]}, {"repositories": ["other"]}):  # fmt: skip
        assert world.ask("POST", path, wanted, token=world.as_app()).status_code == 422
    world.installation.permissions["checks"] = "read"
    run = {"name": "n", "head_sha": world.head, "status": "queued"}
    assert world.ask("POST", "/repos/acme/shop/check-runs", run).status_code == 403


def test_a_token_reaches_only_its_repositories(world):
    other = world.acme.repository("other", private=True)
    public = world.acme.repository("public")
    assert world.ask("GET", "/repos/acme/other").status_code == 404
    world.installation.add(other)
    assert world.ask("GET", "/repos/acme/other").status_code == 200
    narrow = world.installation.token(repositories=[world.shop])
    assert world.ask("GET", "/repos/acme/other", token=narrow).status_code == 404
    assert world.ask("GET", "/repos/acme/public", token=narrow).status_code == 200
    run = {"name": "n", "head_sha": world.head, "status": "queued"}
    assert world.ask("POST", f"/repos/{public.full_name}/check-runs", run).status_code == 403
    listed = world.ask("GET", "/installation/repositories", token=narrow).json()
    assert [repo["name"] for repo in listed["repositories"]] == ["shop"]


def test_a_token_expires_by_the_clock(world):
    world.clock.advance(timedelta(minutes=59))
    assert world.ask("GET", "/repos/acme/shop").status_code == 200
    world.clock.advance(timedelta(minutes=1))
    assert world.ask("GET", "/repos/acme/shop").json()["message"] == "Bad credentials"


def test_a_suspended_installation_is_refused(world):
    world.installation.suspend()
    assert world.ask("GET", "/repos/acme/shop").json()["message"] == "This installation has been suspended"
    path = f"/app/installations/{world.installation.installation_id}"
    assert world.ask("GET", path, token=world.as_app()).json()["suspended_at"] is not None
    assert world.ask("POST", f"{path}/access_tokens", token=world.as_app()).status_code == 403
    world.installation.unsuspend()
    assert world.ask("GET", "/repos/acme/shop").status_code == 200


def test_uninstalling_revokes_tokens_immediately(world):
    world.installation.uninstall()
    assert world.ask("GET", "/repos/acme/shop").status_code == 401
    path = f"/app/installations/{world.installation.installation_id}"
    assert world.ask("GET", path, token=world.as_app()).status_code == 404
    assert world.ask("GET", "/repos/acme/shop/installation", token=world.as_app()).status_code == 404


def test_other_apps_have_no_access(world):
    other = world.github.register_app(name="Other")
    now = int(world.clock.now().timestamp())
    token = jwt.encode({"iss": str(other.app_id), "iat": now, "exp": now + 60}, other.private_key, "RS256")
    path = f"/app/installations/{world.installation.installation_id}"
    assert world.ask("GET", path, token=token).status_code == 404
    assert world.ask("GET", "/app/installations", token=token).json() == []
    assert world.ask("GET", "/app/hook/deliveries", token=token).json() == []
