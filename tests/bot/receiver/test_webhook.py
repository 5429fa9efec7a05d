import asyncio
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from bot.clock import SystemClock
from bot.metrics import DELIVERIES
from bot.receiver import body, webhook
from bot.receiver.body import MAX_BYTES
from bot.receiver.intake import Intake
from bot.receiver.signature import sign
from bot.receiver.webhook import Receiver, release_memory
from bot.records import AppCredentials
from bot.store.deliveries import finish_delivery, handled_guids
from bot.store.errors import StoreFull
from bot.store.jobs import claim_job, finish_job, request_job
from bot.store.tables import deliveries
from tests.bot.receiver.asgi import Exchange, ask
from tests.bot.receiver.payloads import HEAD, INSTALLATION, PRIVATE_WORDS, REPOSITORY, comment, encode, push
from tests.bot.store.conftest import Store
from tests.rows import each_row

SECRET, OLD_SECRET = "s3cret", "s3cret-of-last-week"
GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Announcements:
    """Records the announcements."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.fails: Exception | None = None
        self.hangs = False

    async def announce_deliveries(self, delivery_ids: Sequence[int]) -> None:
        if self.hangs:
            await asyncio.sleep(3600)
        if self.fails is not None:
            raise self.fails
        self.ids += delivery_ids


class Server:
    """The receiver on a test database."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.credentials: AppCredentials | None = AppCredentials(7, "PEM", (SECRET, OLD_SECRET))
        self.announced = Announcements()
        self.intake = Intake(store.database, self.announced, SystemClock())
        self.receiver = Receiver(lambda: self.credentials, self.intake)
        self.app = Starlette(routes=[Route("/webhook", self.receiver.receive, methods=["POST"])])

    async def ask(
        self,
        body: bytes,
        *,
        event: str | None = "push",
        guid: str | None = GUID,
        secret: str = SECRET,
        chunks: Sequence[bytes] | None = None,
        more: Sequence[tuple[str, str]] = (),
        **how: Any,
    ) -> Exchange:
        headers = [("X-Hub-Signature-256", sign(body, secret)), ("Content-Type", "application/json"), *more]
        headers += [("X-GitHub-Event", event)] if event is not None else []
        headers += [("X-GitHub-Delivery", guid)] if guid is not None else []
        return await ask(self.app, "/webhook", headers=headers, chunks=chunks or (body,), **how)

    def post(self, value: Any, **how: Any) -> Exchange:
        async def exchange() -> Exchange:
            answered = await self.ask(value if isinstance(value, bytes) else encode(value), **how)
            await self.intake.close()
            return answered

        return self.store.run(exchange())

    def bare(self, headers: Sequence[tuple[str, str]], chunks: Sequence[bytes], **how: Any) -> Exchange:
        return self.store.run(ask(self.app, "/webhook", headers=headers, chunks=chunks, **how))

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.store.rows(deliveries)


@pytest.fixture
def server(store: Store) -> Server:
    return Server(store)


# Accepted


def test_a_delivery_is_reduced_stored_and_announced(server: Server) -> None:
    answer = server.post(push())
    assert (answer.status, answer.json) == (202, {"result": "stored"})
    (row,) = server.rows
    assert (row["guid"], row["event"], row["action"]) == (GUID, "push", "")
    assert (row["installation_id"], row["repository_id"], row["state"]) == (INSTALLATION, REPOSITORY, "received")
    assert row["facts"]["after"] == HEAD
    assert server.announced.ids == [row["delivery_id"]]
    assert not [word for word in PRIVATE_WORDS if word in repr(row)]


def test_a_body_may_arrive_in_chunks(server: Server) -> None:
    body = encode(push())
    assert server.post(body, chunks=[body[:1], b"", body[1:900], body[900:]]).status == 202


def test_during_rotation_the_previous_secret_is_valid(server: Server) -> None:
    assert server.post(push(), secret=OLD_SECRET).status == 202


def test_a_new_secret_applies_to_the_next_delivery(server: Server) -> None:
    server.credentials = AppCredentials(7, "PEM", ("another",))
    assert server.post(push()).status == 401
    assert server.post(push(), secret="another").status == 202


@each_row(
    ("event", "value"),
    [
        ("ping", {"zen": "A title", "hook_id": 3}),
        ("star", {"action": "created"}),
        ("projects_v2_item", {"action": "created"}),
        ("pull_request_review_thread", b"not even JSON"),
        ("push", push(ref="refs/heads/topic")),
        ("push", push(installation=None)),
        ("issue_comment", comment("Hello body")),
        ("installation", {"action": "transferred", "installation": {"id": 3}}),
    ],
)
def test_irrelevant_deliveries_are_accepted_but_not_stored(server: Server, event: str, value: Any) -> None:
    answer = server.post(value, event=event)
    assert (answer.status, answer.json) == (202, {"result": "ignored"})
    assert server.rows == []
    assert server.announced.ids == []


# Again


def test_a_pending_redelivery_is_announced_again(server: Server) -> None:
    server.post(push())
    assert server.post(push()).json == {"result": "again"}
    (row,) = server.rows
    assert server.announced.ids == [row["delivery_id"]] * 2


def test_a_redelivery_of_a_finished_delivery_does_nothing(server: Server, store: Store) -> None:
    server.post(push())
    answer_with_a_job(server, store, "done")
    assert server.post(push()).json == {"result": "done"}
    assert len(server.announced.ids) == len(server.rows) == 1


def test_a_redelivery_reopens_a_failed_delivery(server: Server, store: Store) -> None:
    server.post(push())
    answer_with_a_job(server, store, "failed")
    assert server.post(push()).json == {"result": "again"}
    assert len(server.announced.ids) == 2
    assert store(handled_guids, [GUID]) == {GUID}


def answer_with_a_job(server: Server, store: Store, ends: Any) -> None:
    now = SystemClock().now()
    job_id = store(request_job, INSTALLATION, REPOSITORY, "post", now)
    job = store(claim_job, ["post"], now, now, caps={})
    assert job is not None
    store(finish_job, job, ends, now)
    store(finish_delivery, server.rows[0]["delivery_id"], "handled", job_id)


def test_concurrent_duplicates_are_stored_once(server: Server) -> None:
    async def ten() -> list[str]:
        answers = await asyncio.gather(*(server.ask(encode(push())) for _ in range(10)))
        await server.intake.close()
        assert {answer.status for answer in answers} == {202}
        return sorted(answer.json["result"] for answer in answers)

    assert server.store.run(ten()) == ["again"] * 9 + ["stored"]
    assert len(server.rows) == 1


def test_many_concurrent_deliveries_share_few_transactions(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    transactions = 0
    write = server.store.database.write

    def counted() -> Any:
        nonlocal transactions
        transactions += 1
        return write()

    monkeypatch.setattr(server.store.database, "write", counted)

    async def hundred() -> None:
        answers = await asyncio.gather(*(server.ask(encode(push()), guid=f"g-{n}") for n in range(100)))
        await server.intake.close()
        assert [answer.json for answer in answers] == [{"result": "stored"}] * 100

    server.store.run(hundred())
    assert len(server.rows) == 100
    assert sorted(server.announced.ids) == sorted(row["delivery_id"] for row in server.rows)
    assert transactions <= 3


def test_a_cancelled_request_does_not_affect_other_deliveries(server: Server) -> None:
    async def scene() -> None:
        tasks = [asyncio.create_task(server.ask(encode(push()), guid=f"g-{n}")) for n in range(6)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [answer.status for answer in done[1::2] if isinstance(answer, Exchange)] == [202] * 3
        await server.intake.close()

    server.store.run(scene())
    assert {f"g-{n}" for n in (1, 3, 5)} <= {row["guid"] for row in server.rows}


# Refused

UNSIGNED: dict[str, list[tuple[str, str]]] = {
    "no signature": [],
    "the old kind": [("X-Hub-Signature", "sha1=" + "0" * 40)],
    "malformed": [("X-Hub-Signature-256", "sha256=zz")],
    "two of them": [("X-Hub-Signature-256", "sha256=" + "0" * 64)] * 2,
    "not ASCII": [("X-Hub-Signature-256", "sha256=" + "é" * 64)],
}


@each_row("headers", UNSIGNED.values())
def test_unsigned_requests_are_refused_unread(server: Server, headers: list[tuple[str, str]]) -> None:
    more = [("X-GitHub-Event", "push"), ("X-GitHub-Delivery", GUID)]
    answer = server.bare([*headers, *more], [encode(push())])
    assert (answer.status, answer.json["result"]) == (401, "unsigned")
    assert answer.chunks_read == 0
    assert server.rows == []


def test_requests_signed_with_another_secret_are_refused(server: Server) -> None:
    assert server.post(push(), secret="wrong").status == 401
    assert server.rows == []
    assert server.announced.ids == []


def test_modified_bodies_are_refused(server: Server) -> None:
    body = encode(push())
    assert server.post(body, chunks=[body + b" "]).status == 401
    assert server.post(body, chunks=[body[:-1]]).status == 401
    assert server.rows == []


@each_row(
    ("guid", "event"),
    [
        (None, "push"),
        (GUID, None),
        ("", "push"),
        (GUID, ""),
        ("g" * 65, "push"),
        ("a b", "push"),
        ("a\u00e9", "push"),
        ("'; DROP TABLE deliveries; --", "push"),
        (GUID, "PUSH"),
        (GUID, "push/../x"),
        (GUID, "p" * 65),
    ],
)
def test_missing_or_invalid_headers_are_refused(server: Server, guid: str | None, event: str | None) -> None:
    answer = server.post(push(), guid=guid, event=event)
    assert (answer.status, answer.json["result"]) == (400, "malformed")
    assert server.rows == []


@each_row("body", [b"", b"[]", b"null", b"{", b"\xff"])
def test_signed_bodies_that_are_not_objects_are_refused(server: Server, body: bytes) -> None:
    assert server.post(body).status == 400
    assert server.rows == []


def test_a_form_delivery_is_told_which_setting_to_change(server: Server) -> None:
    body = b"payload=%7B%7D"
    headers = [("X-Hub-Signature-256", sign(body, SECRET)), ("Content-Type", "application/x-www-form-urlencoded")]
    answer = server.bare(headers, [body])
    assert answer.status == 415
    assert "application/json" in answer.json["says"]


def test_without_credentials_deliveries_are_refused(server: Server) -> None:
    server.credentials = None
    answer = server.post(push())
    assert (answer.status, answer.json["result"], answer.chunks_read) == (503, "not set up", 0)


def test_only_post_is_allowed(server: Server) -> None:
    assert server.bare([], [b""], method="GET").status == 405


# Size and time


def test_declared_oversize_is_refused_unread(server: Server) -> None:
    headers = [("X-Hub-Signature-256", "sha256=" + "0" * 64), ("Content-Length", str(MAX_BYTES + 1))]
    answer = server.bare(headers, [b"x"])
    assert (answer.status, answer.chunks_read) == (413, 0)


def test_undeclared_oversize_is_read_no_further(server: Server) -> None:
    headers = [("X-Hub-Signature-256", "sha256=" + "0" * 64)]
    answer = server.bare(headers, [b"x" * (1 << 20)] * 40)
    assert (answer.status, answer.chunks_read) == (413, 26)


def test_a_payload_of_the_maximum_size_is_accepted(server: Server) -> None:
    body = encode(push(filler="")).ljust(MAX_BYTES)
    assert server.post(body).status == 202


def test_memory_of_huge_payloads_is_released(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[int] = []
    monkeypatch.setattr(webhook, "release_memory", lambda: released.append(1))
    assert server.post(push()).status == 202
    assert not released
    assert server.post(encode(push()).ljust(body.HUGE_BYTES + 1), guid="g").status == 202
    assert released
    release_memory()


def test_strangers_with_large_bodies_do_not_keep_out_a_delivery(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "SMALL_BYTES", 50)
    monkeypatch.setattr(body, "MAX_MEDIUM_BYTES", 2_000)
    monkeypatch.setattr(body, "WINDOW_S", 0.02)

    async def scene() -> None:
        headers = [("X-Hub-Signature-256", "sha256=" + "0" * 64)]
        slow = [
            asyncio.create_task(ask(server.app, "/webhook", headers=headers, chunks=[b"x" * 900], stalls=True))
            for _ in range(2)
        ]
        await asyncio.sleep(0.1)
        payload = encode(push())
        assert 50 < len(payload) < 2_000
        assert (await server.ask(payload)).status == 202
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        assert (await ask(server.app, "/webhook", headers=headers, chunks=[b"x" * 1_900])).status == 401
        await server.intake.close()

    server.store.run(scene())


def test_a_stalled_body_times_out(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "READ_TIMEOUT_S", 0.05)
    assert server.post(push(), stalls=True).status == 408


def test_wrong_signatures_are_logged_once_a_minute(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = [1_000.0]
    monkeypatch.setattr("bot.receiver.webhook.time.perf_counter", lambda: moment[0])
    for _ in range(5):
        assert server.post(push(), secret="wrong").status == 401
    assert server.bare([("X-GitHub-Event", "push")], [b"{}"]).status == 401  # GitHub has no secret at all
    first = capsys.readouterr().out
    assert first.count("deliveries_with_a_wrong_signature") == 1
    assert "secret" in first
    moment[0] += 61
    assert server.post(push(), secret="wrong").status == 401
    again = capsys.readouterr().out
    assert "deliveries_with_a_wrong_signature" in again
    assert re.search(r"count\W+6\b", re.sub(r"\x1b\[[0-9;]*m", "", again))
    assert server.bare([], [b"{}"]).status == 401
    assert "wrong_signature" not in capsys.readouterr().out  # not even a delivery: somebody who looks around


def test_a_disconnected_client_leaves_nothing_behind(server: Server) -> None:
    server.post(push(), breaks_off=True)
    assert server.rows == []
    assert server.post(push()).status == 202


# Faults behind it


@pytest.mark.parametrize("fails", [ConnectionError("redis is away"), RuntimeError("a bug")])
def test_deliveries_are_accepted_without_redis(server: Server, fails: Exception) -> None:
    server.announced.fails = fails
    assert server.post(push()).status == 202
    assert len(server.rows) == 1


def test_a_hanging_redis_delays_no_response(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.receiver.intake.ANNOUNCE_TIMEOUT_S", 0.6)
    server.announced.hangs = True

    async def scene() -> None:
        for number in range(3):
            answer = await asyncio.wait_for(server.ask(encode(push()), guid=f"g-{number}"), 0.5)
            assert answer.status == 202
        await server.intake.close()

    server.store.run(scene())
    assert len(server.rows) == 3


def test_a_full_store_fails_deliveries_until_there_is_space(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(work: Any) -> Any:
        raise StoreFull("the database's disk is full")

    with monkeypatch.context() as while_full:
        while_full.setattr(server.store.database, "write_in_one_go", full)
        answer = server.post(push())
        assert (answer.status, answer.json["result"]) == (503, "unavailable")
    assert server.post(push()).json == {"result": "stored"}


def test_deliveries_are_counted_by_known_event_and_result(server: Server) -> None:
    def counted(event: str, result: str) -> float:
        return DELIVERIES.labels(event, result)._value.get()

    stored, other = counted("push", "stored"), counted("other", "ignored")
    server.post(push())
    server.post({}, event="x" * 30)
    assert (counted("push", "stored"), counted("other", "ignored")) == (stored + 1, other + 1)
    assert "x" * 30 not in json.dumps([sample.labels for metric in DELIVERIES.collect() for sample in metric.samples])
