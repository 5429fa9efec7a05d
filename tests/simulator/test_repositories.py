"""Changes of repositories, and the events that the App receives."""

from __future__ import annotations

import base64

import pytest

from tests.rows import each_row


def events(world):
    world.github.settle()
    return [(delivery.event, delivery.action) for delivery in world.github.deliveries[2:]]  # after ping and created


def test_a_renamed_repository_redirects_by_id(world):
    world.shop.rename("store")
    moved = world.ask("GET", "/repos/acme/shop/branches/main")
    assert moved.status_code == 301
    to = f"{world.github.api_url}/repositories/{world.shop.repository_id}/branches/main"
    assert moved.headers["location"] == moved.json()["url"] == to
    followed = world.ask("GET", "/repos/acme/shop", follow_redirects=True)
    assert followed.json()["full_name"] == "acme/store"
    run = {"name": "n", "head_sha": world.head, "status": "queued"}
    assert world.ask("POST", "/repos/acme/shop/check-runs", run).status_code == 307
    assert events(world) == [("repository", "renamed")]


def test_a_reused_name_no_longer_redirects(world):
    world.shop.rename("store")
    shop = world.acme.repository("shop", private=True)
    world.installation.add(shop)
    assert world.ask("GET", "/repos/acme/shop").json()["id"] == shop.repository_id


def test_a_transferred_repository_leaves_its_installation(world):
    globex = world.github.account("globex", "Organization")
    theirs = world.app.install(globex)
    world.shop.transfer(globex)
    assert world.ask("GET", "/repos/acme/shop").status_code == 404
    assert world.ask("GET", "/repos/globex/shop", token=theirs.token()).status_code == 200
    told = [
        (each.event, each.action, each.installation_id)
        for each in world.github.deliveries
        if each.event in ("repository", "installation_repositories")
    ]
    assert told == [
        ("installation_repositories", "removed", world.installation.installation_id),
        ("installation_repositories", "added", theirs.installation_id),
        ("repository", "transferred", theirs.installation_id),
    ]


def test_a_deleted_repository_is_gone(world):
    world.shop.delete()
    assert world.ask("GET", "/repos/acme/shop").status_code == 404
    assert world.ask("GET", f"/repositories/{world.shop.repository_id}").status_code == 404
    assert events(world) == [("repository", "deleted"), ("installation_repositories", "removed")]


def test_an_archived_repository_is_read_only(world):
    world.shop.archive()
    assert world.ask("GET", "/repos/acme/shop").json()["archived"] is True
    run = {"name": "n", "head_sha": world.head, "status": "queued"}
    assert world.ask("POST", "/repos/acme/shop/check-runs", run).json()["message"].endswith("is read-only.")
    world.shop.unarchive()
    assert world.ask("POST", "/repos/acme/shop/check-runs", run).status_code == 201


def test_a_disabled_repository_shows_only_itself(world):
    world.shop.disabled = True
    assert world.ask("GET", "/repos/acme/shop").json()["disabled"] is True
    assert world.ask("GET", "/repos/acme/shop/commits/main").status_code == 403


def test_an_empty_repository_has_no_commits(world):
    world.installation.add(world.acme.repository("empty"))
    assert world.ask("GET", "/repos/acme/empty/commits/main").status_code == 409
    assert world.ask("GET", "/repos/acme/empty/branches/main").status_code == 404


def test_the_default_branch_moves(world):
    world.shop.edit_default_branch("feature/x")
    assert world.ask("GET", "/repos/acme/shop").json()["default_branch"] == "feature/x"
    shown = world.ask("GET", "/repos/acme/shop/commits/HEAD", headers={"accept": "application/vnd.github.sha"})
    assert shown.text == world.shop.head() == world.shop.head("feature/x")


@pytest.mark.parametrize("act", ["privatize", "publicize", "archive", "unarchive"])
def test_every_event_shows_the_current_repository(world, act):
    (delivery,) = getattr(world.shop, act)(by="alice")
    assert delivery.payload["repository"]["private"] == world.shop.private
    assert delivery.payload["repository"]["archived"] == world.shop.archived
    assert delivery.payload["sender"]["login"] == "alice"


def test_a_push_has_before_and_after(world):
    (push, suite) = world.shop.pushed(forced=True)
    assert (push.payload["ref"], push.payload["forced"]) == ("refs/heads/main", True)
    assert push.payload["after"] == push.payload["before"] == world.head
    assert suite.payload["check_suite"]["head_sha"] == world.head
    world.shop.known_heads.clear()
    assert world.shop.pushed("feature/x")[0].payload["created"] is True


@each_row(
    ("role", "permission"),
    [("admin", "admin"), ("maintain", "write"), ("write", "write"), ("triage", "read"), ("read", "read"),
     ("none", "none"), ("security", "write")],
)  # fmt: skip
def test_the_role_behind_a_permission_is_shown(world, role, permission):
    world.github.custom_roles["security"] = "maintain"
    world.github.account("alice")
    world.shop.roles["alice"] = role
    shown = world.ask("GET", "/repos/acme/shop/collaborators/alice/permission").json()
    assert (shown["permission"], shown["role_name"]) == (permission, role)


def test_unknown_users_have_no_role(world):
    assert world.ask("GET", "/repos/acme/shop/collaborators/nobody/permission").status_code == 404


def test_a_file_is_shown_as_of_a_commit(world):
    shown = world.ask("GET", f"/repos/acme/shop/contents/.github/assay.yml?ref={world.head}").json()
    assert base64.b64decode(shown["content"]) == b"quiet: true\n"
    raw = {"accept": "application/vnd.github.raw+json"}
    assert world.ask("GET", "/repos/acme/shop/contents/a.py", headers=raw).text == "x = 2\n"
    assert world.ask("GET", "/repos/acme/shop/contents/none.py").status_code == 404


def test_comments_and_reactions(world):
    comment = world.shop.comment("alice", "/screen")
    path = f"/repos/acme/shop/issues/comments/{comment.comment_id}"
    shown = world.ask("GET", path).json()
    assert (shown["body"], shown["user"]["login"], shown["user"]["type"]) == ("/screen", "alice", "User")
    assert world.ask("POST", f"{path}/reactions", {"content": "eyes"}).status_code == 201
    assert world.ask("POST", f"{path}/reactions", {"content": "eyes"}).status_code == 200
    made = world.ask("POST", "/repos/acme/shop/issues/1/comments", {"body": "Done."})
    assert made.json()["user"]["login"] == "assay[bot]"
    changed = world.ask("PATCH", f"/repos/acme/shop/issues/comments/{made.json()['id']}", {"body": "Done again."})
    assert changed.json()["body"] == "Done again."
    assert world.ask("GET", "/repos/acme/shop/issues/99/comments").status_code == 404
    assert events(world) == [("issue_comment", "created")] * 2 + [("issue_comment", "edited")]


def test_pull_requests_may_require_another_permission(world):
    comment = world.shop.comment("alice", "/screen", issue=2, on_pull_request=True)
    path = f"/repos/acme/shop/issues/comments/{comment.comment_id}/reactions"
    assert world.ask("POST", path, {"content": "eyes"}).status_code == 201
    world.github.strict_pull_requests = True
    assert world.ask("POST", path, {"content": "rocket"}).status_code == 403


def test_an_account_is_found_by_id(world):
    alice = world.github.account("alice")
    assert world.ask("GET", f"/user/{alice.account_id}").json()["login"] == "alice"
    world.github.rename_account(alice, "alice-2")
    assert world.ask("GET", f"/user/{alice.account_id}").json()["login"] == "alice-2"
    assert world.ask("GET", "/users/alice").status_code == 404


def test_a_renamed_organization_keeps_its_repositories(world):
    world.acme.rename("acme-corp")
    assert world.ask("GET", "/repos/acme/shop").status_code == 301
    assert world.ask("GET", "/repos/acme-corp/shop").status_code == 200


def test_all_repositories_are_listed_page_by_page(world):
    world.installation.selected = None
    for number in range(12):
        world.acme.repository(f"r{number}")
    first = world.ask("GET", "/installation/repositories?per_page=10")
    assert first.json()["total_count"] == 13
    assert 'rel="next"' in first.headers["link"]
    second = world.ask("GET", "/installation/repositories?per_page=10&page=2").json()
    assert len(first.json()["repositories"]) + len(second["repositories"]) == 13


def test_comments_can_be_listed_since_a_time(world):
    world.shop.comment("alice", "before")
    world.clock.advance(60)
    since = world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    world.shop.comment("alice", "after")
    listed = world.ask("GET", "/repos/acme/shop/issues/1/comments", params={"since": since}).json()
    assert [each["body"] for each in listed] == ["after"]


def test_locked_and_archived_targets_are_read_only(world):
    world.shop.comment("alice", "/screen")
    path, body = "/repos/acme/shop/issues/1/comments", {"body": "Done."}
    world.shop.locked.add(1)
    assert world.ask("POST", path, body).status_code == 403
    world.shop.locked.clear()
    assert world.ask("POST", path, body).status_code == 201
    world.shop.archived = True
    assert world.ask("POST", path, body).status_code == 403
