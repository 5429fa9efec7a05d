"""Pages for a browser."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from tests.rows import each_row
from tests.simulator.pages import manifest_problems
from tests.simulator.run_page import render_markdown

MANIFEST = {
    "name": "Assay",
    "url": "https://assay.example.com",
    "hook_attributes": {"url": "https://assay.example.com/webhook", "active": True},
    "redirect_url": "https://assay.example.com/setup/callback",
    "public": False,
    "default_events": ["check_run", "check_suite", "push", "repository"],
    "default_permissions": {"checks": "write", "contents": "read", "metadata": "read"},
}


def register(world, path="/settings/apps/new", name="Assay of acme"):
    """Post the manifest, press the button, and come back with the code and the state."""
    form = {"manifest": json.dumps(MANIFEST)}
    page = world.http.post(f"{world.github.url}{path}?state=s1", data=form)
    assert page.status_code == 200, page.text
    (ticket,) = re.findall('name="ticket" value="(.+?)"', page.text)
    (action,) = re.findall('action="(.+?)"', page.text)
    back = world.http.post(world.github.url + action, data={"ticket": ticket, "name": name})
    assert back.status_code == 302
    query = parse_qs(urlsplit(back.headers["location"]).query)
    assert back.headers["location"].startswith(MANIFEST["redirect_url"])
    assert query["state"] == ["s1"]
    return page.text, query["code"][0]


def test_an_app_is_registered_from_a_manifest(world):
    page, code = register(world, "/organizations/acme/settings/apps/new")
    assert "Create GitHub App for acme" in page
    made = world.ask("POST", f"/app-manifests/{code}/conversions", token="")
    assert made.status_code == 201
    shown = made.json()
    assert (shown["slug"], shown["owner"]["login"]) == ("assay-of-acme", "acme")
    assert shown["permissions"] == MANIFEST["default_permissions"]
    app = world.github.apps[shown["id"]]
    assert (shown["pem"], shown["webhook_secret"]) == (app.private_key, app.webhook_secret)
    assert app.webhook_url == "https://assay.example.com/webhook"


def test_a_code_works_once_and_within_an_hour(world):
    _, code = register(world)
    assert world.ask("POST", f"/app-manifests/{code}/conversions", token="").status_code == 201
    assert world.ask("POST", f"/app-manifests/{code}/conversions", token="").status_code == 404
    _, late = register(world, name="Another")
    world.clock.advance(timedelta(hours=1))
    assert world.ask("POST", f"/app-manifests/{late}/conversions", token="").status_code == 404


@each_row(
    ("change", "said"),
    [
        ({"url": ""}, "url is missing"),
        ({"redirect_url": "javascript:alert(1)"}, "redirect_url is not a URL"),
        ({"hook_attributes": {"active": True}}, "need a url"),
        ({"hook_attributes": {"url": "http://127.0.0.1/webhook"}}, "isn't reachable over the public Internet"),
        ({"hook_attributes": {"url": "http://localhost/webhook"}}, "isn't reachable over the public Internet"),
        ({"default_permissions": {"checks": "much"}}, "not included in the list"),
        ({"default_events": ["issue_comment"]}, "Default events unsupported: issue_comment"),
        ({"name": "x" * 35}, "name is too long"),
    ],
)
def test_invalid_manifests_are_rejected(change, said):
    assert manifest_problems(MANIFEST, allow_loopback=False) == []
    assert any(said in problem for problem in manifest_problems({**MANIFEST, **change}, allow_loopback=False))


def test_malformed_manifests_show_an_error_page(world):
    response = world.http.post(f"{world.github.url}/settings/apps/new", data={"manifest": "{"})
    assert (response.status_code, "no JSON object" in response.text) == (422, True)
    world.github.allow_loopback = False
    local = {**MANIFEST, "hook_attributes": {"url": "http://127.0.0.1:1/<b>"}}
    response = world.http.post(f"{world.github.url}/settings/apps/new", data={"manifest": json.dumps(local)})
    assert response.status_code == 422


def test_the_app_is_installed_on_a_chosen_account(world):
    globex = world.github.account("globex", "Organization")
    page = world.http.get(f"{world.github.url}/apps/assay/installations/new")
    assert "<option>globex</option>" in page.text
    there = world.http.post(f"{world.github.url}/apps/assay/installations", data={"account": "globex"})
    assert there.status_code == 302
    assert world.http.get(there.headers["location"]).status_code == 200
    assert [each.account for each in world.app.installations] == [world.acme, globex]


def test_check_runs_are_rendered_without_active_content(world):
    summary = "| a | b |\n|---|---|\n| 1 | 2 |\n\n<script>alert(1)</script> ![x](http://a/b.png) [l](javascript:x)"
    run = {"name": "assay/screen", "head_sha": world.head, "status": "completed", "conclusion": "success"}
    output = {"title": "worth <b>trying</b>", "summary": summary}
    world.ask("POST", "/repos/acme/shop/check-runs", {**run, "output": output})
    for path in ("/demo", "/acme/shop/runs"):
        page = world.http.get(world.github.url + path).text
        assert "<table>" in page
        assert "worth &lt;b&gt;trying&lt;/b&gt;" in page
        assert '<meta http-equiv="refresh"' in page
        assert not re.search("<script|<img|href=.javascript|<b>", page)


def test_markdown_never_produces_active_html():
    assert render_markdown("<img src=x onerror=y>").startswith("<p>&lt;img")


def test_unknown_pages_are_not_found(world):
    assert world.http.get(f"{world.github.url}/nothing/here/at/all").status_code == 404
    assert world.http.get(f"{world.github.url}/acme/none/runs").status_code == 404
