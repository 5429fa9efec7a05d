"""Secrets, and what people wrote, flow through the App in a story of all that can happen: none of it is left behind."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import sqlite3
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import redis

from bot.handlers.screening.evidence import FACTS
from tests.builders import fast_assay
from tests.builders.app_processes import ASSAY, AppProcess, until
from tests.builders.canaries import find
from tests.builders.patience import PATIENCE_S
from tests.flows.canary_story import (
    CODE,
    COMMENT,
    EMAIL,
    MESSAGE,
    TALK,
    TOKEN,
    WEBHOOK,
    Watch,
    canaries,
    contents,
    full_of_canaries,
    leaks,
    telling_history,
)
from tests.flows.faults.stage import Stage
from tests.simulator.apps import FULL, Installation
from tests.simulator.faults import cut, lost, status, unauthorized
from tests.simulator.messages import Response
from tests.simulator.repositories import Repository

pytestmark = pytest.mark.faults

ECHO = f"you sent {TOKEN.text}, and somebody wrote: {TALK.text}"  # as an error of GitHub's might say


def test_no_canary_is_left_anywhere(tmp_path: Path) -> None:
    with full_of_canaries(tmp_path) as (stage, watch):
        acme, other = stage.organization("acme"), stage.organization("other")
        shop, till = (acme.repository(name, telling_history(tmp_path / f"{name}.git")) for name in ("shop", "till"))
        kept = other.repository("kept", telling_history(tmp_path / "kept.git", 1), private=True)
        for repo in (shop, till, kept):
            repo.issue(7, labels=["bug"])
        stage.web()
        first = start_worker(stage, "console")
        be_unwell(stage, till, kept)
        gate = stage.hold_clone(shop)
        leaving = stage.app.install(acme, [shop, till])
        stage.app.install(other, [kept])
        gate.wait()
        watch.look()
        stage.kill(first)
        until("no child is left", lambda: not stage.children())
        assert leaks(stage, watch) == []  # of who had no time to tidy up

        gate.open()
        second = start_worker(stage, "json")
        until("every verdict", lambda: all(repo.check_runs for repo in (shop, till, kept)))
        live(stage, leaving, shop, till)
        speak_out_of_turn(stage)
        assert find(canaries(stage), look_at_it(stage)) == []
        assert leaks(stage, watch) == []

        leaving.uninstall()
        until("nothing of who left", lambda: not stage.traces())
        second.stop()
        stage.assay.kill_everything()
        assert leaks(stage, watch) == []
        assert_all_was_there(stage, watch)
        assert_a_leak_is_found(stage, watch)


def start_worker(stage: Stage, log_format: str) -> AppProcess:
    assert stage.pace is not None
    return fast_assay.start(stage.assay, stage.pace, "worker", ASSAY_LOG_FORMAT=log_format)


def be_unwell(stage: Stage, till: Repository, kept: Repository) -> None:
    """GitHub fails in ways that a careless program would repeat word for word."""
    of_till, of_kept = f"/repos/{till.full_name}", f"/repos/{kept.full_name}"
    fault = stage.github.fault
    fault(f"GET {of_till}", Response(500, {"message": ECHO}))
    fault(f"PATCH {of_till}/check-suites/preferences", status(422, message=ECHO))
    fault(f"POST {of_till}/check-runs", lost(Response(502, ECHO.encode())))
    fault(f"GET {of_kept}", unauthorized())
    fault(f"GET {of_kept}/commits/.*", Response(200, f"<html>{ECHO}</html>".encode(), {"content-type": "text/html"}))
    fault(f"POST {of_kept}/check-runs", status(403, {"retry-after": "60"}, ECHO))
    fault(f"POST /{kept.full_name}.git/git-upload-pack", cut(1_000))
    fault(f"GET /{kept.full_name}.git/info/refs", Response(503, ECHO.encode()))


def live(stage: Stage, leaving: Installation, shop: Repository, till: Repository) -> None:
    """Everything that people do, while the App looks on."""
    shop.roles.update(ann="maintain", bob="read")
    run = shop.check_runs[0]
    run.press("ann", "rescreen")
    run.press("bob", "rescreen")
    run.rerequest("bob")
    run.suite.rerequest("bob")
    commands = [shop.comment("ann", f"/screen\n\n{COMMENT.text}"), shop.comment("bob", f"/screen {COMMENT.text}")]
    shop.comment("bob", COMMENT.text).edit(f"/screen {COMMENT.text}")
    shop.comment("bob", f"/finetune --base-model {COMMENT.text}", on_pull_request=True)
    until("an answer to each command", lambda: all(comment.reactions for comment in commands))
    shop.git_dir = telling_history(stage.folder / "rewritten.git", 3)
    shop.pushed(forced=True)
    till.rename("drawer")
    till.privatize()
    till.publicize()
    till.archive()
    till.unarchive()
    leaving.remove(till)
    leaving.add(till)
    leaving.accept_permissions(FULL)
    leaving.suspend()
    leaving.unsuspend()
    stage.app.revoke_authorization("ann")
    stage.app.ping()
    stage.github.settle()
    until("a verdict on the new head", lambda: shop.check_runs[-1]["head_sha"] == shop.head())


def speak_out_of_turn(stage: Stage) -> None:
    """Deliveries that are forged, broken or odd, and requests of nobody."""
    everything = "".join(canary.text for canary in canaries(stage))
    body = f'{{"action": "{TALK.text}", "{EMAIL.text}": "{MESSAGE.text}"}}'.encode()
    for content, event, guid in (
        (body, "push", "1"),
        (body, "issue_comment", "2"),
        (body, EMAIL.text, "3"),
        (body, "push", TALK.text),
        (everything.encode(), "push", "4"),
        (b'{"broken": "' + everything.encode(), "installation", "5"),
        (f'{{"installation": {{"id": "{TALK.text}"}}}}'.encode(), "installation", "6"),
    ):
        signature = hmac.new(WEBHOOK.text.encode(), content, hashlib.sha256).hexdigest()
        for signed in (signature, signature[::-1], CODE.text):
            headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": guid, "X-Hub-Signature-256": f"sha256={signed}"}
            ask(f"{stage.assay.url}/webhook", content, headers)
    for path in (f"/setup?code={TOKEN.text}", f"/{CODE.text}", f"/repos/{CODE.text}/{CODE.text}"):
        ask(f"{stage.assay.url}{path}")


def look_at_it(stage: Stage) -> bytes:
    """What an operator is shown."""
    shown = [ask(f"{stage.assay.url}{path}") for path in ("/", "/repos/acme/shop", "/readyz")]
    for command in (["repos", "--json"], ["doctor"]):
        done = subprocess.run([ASSAY, *command], env=stage.assay.environment, capture_output=True, check=False)
        shown += [done.stdout, done.stderr]
    assert all(shown[:4])
    return b"\n".join(shown)


def ask(url: str, content: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    """The body of the answer, whatever its status."""
    request = urllib.request.Request(url, content, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.read()


def assert_all_was_there(stage: Stage, watch: Watch) -> None:
    """The canaries did go through the App, and the watch saw the processes that it started."""
    delivered = b"".join(delivery.content for delivery in stage.github.deliveries if delivery.was_taken)
    assert {line.partition(" in ")[0] for line in find((COMMENT, TALK, MESSAGE, EMAIL), delivered)} == {
        canary.name for canary in (COMMENT, TALK, MESSAGE, EMAIL)
    }
    assert all(TOKEN.text in token for token in stage.github.tokens)
    assert any(b"bot.sandbox.fork_server" in command for command in watch.commands)
    assert len(watch.children) >= 3  # two supervisors, and a child for each screening
    assert watch.environments == {b"{}"}
    assert any(name.endswith(b".pack") for name in watch.names)
    _, unpacked = [content for path, content in contents(stage) if path.name == FACTS]
    assert b'[7,false,0,["bug"],' in unpacked  # of who stays


def assert_a_leak_is_found(stage: Stage, watch: Watch) -> None:
    """Or the silence above would mean nothing. Nothing runs any more that this could disturb."""
    database = stage.data_dir / "assay.sqlite"
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("INSERT INTO bookmarks VALUES ('planted', ?)", (f'"{COMMENT.text}"',))
    with contextlib.closing(redis.Redis.from_url(stage.assay.environment["ASSAY_REDIS_URL"])) as connection:
        connection.set("planted", TOKEN.text.encode("utf-16"))
    with open(stage.assay.processes[0].log, "a") as log:
        log.write(EMAIL.text)
    (stage.data_dir / CODE.text).touch()
    watch.look()
    found = leaks(stage, watch)
    for leak in (
        "a comment in plain text in a row of assay.sqlite",
        "a comment in plain text in the file assay.sqlite",
        "a token in utf-16-le in Redis",
        "a token in utf-16-le in the file appendonly.aof",
        f"an e-mail address in plain text in {stage.assay.processes[0].log.name}",
        "code in plain text in a file's name",
    ):
        assert leak in found, found
