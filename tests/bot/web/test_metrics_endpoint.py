import asyncio

from prometheus_client.parser import text_string_to_metric_families

from bot.metrics import API_REMAINING, JOB_SECONDS, REGISTRY
from bot.store.errors import StoreUnavailable
from bot.store.jobs import QueueFigure
from bot.web.metrics_endpoint import DatabaseMetrics, metrics_app
from tests.bot.receiver.asgi import ask, get

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(*answers: DatabaseMetrics | Exception) -> list[Samples]:
    """Scrape one server several times, its database returning or raising as given."""
    left = list(answers)

    async def read_metrics() -> DatabaseMetrics:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def scene() -> list[Samples]:
        app = metrics_app(read_metrics)
        return [parse((await get(app, "/metrics", host="prometheus.internal")).text) for _ in answers]

    return asyncio.run(scene())


def parse(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


FULL = DatabaseMetrics(
    [QueueFigure("screen", "open", 12, 340.5), QueueFigure("post", "running", 1, 2.0)],
    {"RUN": 3, "SKIP": 4},
    failing={"post": (2, 90.0)},
    failed_repositories=5,
)


def test_queue_and_verdicts_are_read_at_each_scrape() -> None:
    full, empty = scrape(FULL, DatabaseMetrics())
    assert full["assay_queue_jobs", (("kind", "screen"), ("state", "open"))] == 12
    assert full["assay_queue_oldest_seconds", (("kind", "screen"), ("state", "open"))] == 340.5
    assert full["assay_screens", (("verdict", "RUN"),)] == 3
    assert full["assay_store_up", ()] == 1
    assert full["assay_failing_jobs", (("kind", "post"),)] == 2
    assert full["assay_failing_seconds", (("kind", "post"),)] == 90.0
    assert (full["assay_failed_repositories", ()], empty["assay_failed_repositories", ()]) == (5, 0)
    assert not [name for name, _ in empty if name.startswith("assay_failing")]
    assert not [name for name, _ in empty if name.startswith(("assay_queue", "assay_screens"))]


def test_without_a_database_process_metrics_remain() -> None:
    _, down, up = scrape(FULL, StoreUnavailable("gone"), FULL)
    assert down["assay_store_up", ()] == 0
    assert not [name for name, _ in down if name.startswith("assay_queue")]
    assert down["process_resident_memory_bytes", ()] > 0
    assert up["assay_store_up", ()] == 1


def test_labels_identify_no_owner_repository_or_installation() -> None:
    JOB_SECONDS.labels("screen", "done").observe(1)
    API_REMAINING.labels("core").set(4_999)
    scrape(FULL)
    labels = {label for family in REGISTRY.collect() for sample in family.samples for label in sample.labels}
    assert labels - {"major", "minor", "patchlevel", "version", "implementation"} <= {
        "event",
        "kind",
        "le",
        "resource",
        "result",
        "state",
        "verdict",
        "what",
    }


def test_without_a_token_only_this_machine_is_served_and_with_one_only_who_sends_it() -> None:
    async def read_metrics() -> DatabaseMetrics:
        return DatabaseMetrics()

    async def status(token: str, client: str, sent: str = "") -> int:
        app = metrics_app(read_metrics, token)
        headers = [("Authorization", sent)] if sent else []
        return (await ask(app, "/metrics", method="GET", headers=headers, client=client)).status

    async def scene() -> None:
        for client in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
            assert await status("", client) == 200
        for client in ("10.0.0.7", "2001:db8::1", ""):
            assert await status("", client) == 401
            assert await status("", client, "Bearer ") == 401
            assert await status("s3cret", client, "Bearer s3cret") == 200
        for sent in ("", "Bearer", "Bearer s3cre", "s3cret", "Basic s3cret", "Bearer s3cret\u00e9"):
            assert await status("s3cret", "127.0.0.1", sent) == 401

    asyncio.run(scene())
