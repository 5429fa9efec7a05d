"""Prometheus metrics. No label names an owner, a repository or an installation."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

DELIVERIES: Final = Counter(
    "assay_deliveries",
    "Deliveries received, by event and result.",
    ["event", "result"],
    registry=REGISTRY,
)
RECEIVER_SECONDS: Final = Histogram(
    "assay_receiver_seconds",
    "Time from the first byte of a delivery to the response.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
    registry=REGISTRY,
)
QUEUE_JOBS: Final = Gauge("assay_queue_jobs", "Jobs, by kind and state.", ["kind", "state"], registry=REGISTRY)
QUEUE_AGE_SECONDS: Final = Gauge(
    "assay_queue_oldest_seconds", "Age of the oldest job, by kind and state.", ["kind", "state"], registry=REGISTRY
)
FAILING_JOBS: Final = Gauge(
    "assay_failing_jobs", "Jobs that wait because GitHub or the network failed, by kind.", ["kind"], registry=REGISTRY
)
FAILING_SECONDS: Final = Gauge(
    "assay_failing_seconds", "For how long the longest of them has been failing, by kind.", ["kind"], registry=REGISTRY
)
FAILED_REPOSITORIES: Final = Gauge(
    "assay_failed_repositories", "Repositories whose last error stands.", registry=REGISTRY
)
SCREENS: Final = Gauge("assay_screens", "Stored screenings, by verdict.", ["verdict"], registry=REGISTRY)
STORE_UP: Final = Gauge("assay_store_up", "1 if the queue could be read for this scrape, else 0.", registry=REGISTRY)
JOB_SECONDS: Final = Histogram(
    "assay_job_seconds",
    "Duration of jobs, by kind and result.",
    ["kind", "result"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600),
    registry=REGISTRY,
)
API_REMAINING: Final = Gauge(
    "assay_github_api_remaining", "Requests left, from GitHub's latest response.", ["resource"], registry=REGISTRY
)
SCREENINGS: Final = Counter(
    "assay_screenings", "Screenings finished, by verdict or kind of failure.", ["result"], registry=REGISTRY
)
SWEPT: Final = Counter(
    "assay_swept",
    "Work that a sweep recovered: missed deliveries and expired leases.",
    ["what"],
    registry=REGISTRY,
)
WAKEUPS_REFUSED: Final = Counter(
    "assay_tickets_refused", "Messages in the queue that were not valid wake-ups.", registry=REGISTRY
)
