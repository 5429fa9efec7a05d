import asyncio

from prometheus_client.parser import text_string_to_metric_families

from bot.metrics import API_REMAINING, JOB_SECONDS, REGISTRY
from bot.store.errors import StoreUnavailable
from bot.store.jobs import QueueFigure
from bot.web.metrics_endpoint import DatabaseMetrics, metrics_app
from tests.bot.receiver.asgi import get

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
    }
