"""Every figure that Prometheus may ask for. No label names an owner, a repository or an installation."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

DELIVERIES: Final = Counter(
    "assay_deliveries",
    "Deliveries answered, by event and by what became of them.",
    ["event", "result"],
    registry=REGISTRY,
)
RECEIVER_SECONDS: Final = Histogram(
    "assay_receiver_seconds",
    "From the first byte of a delivery to its answer.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10),
    registry=REGISTRY,
)
QUEUE_JOBS: Final = Gauge("assay_queue_jobs", "Jobs, by kind and state.", ["kind", "state"], registry=REGISTRY)
QUEUE_AGE_SECONDS: Final = Gauge(
    "assay_queue_oldest_seconds", "Age of the oldest job, by kind and state.", ["kind", "state"], registry=REGISTRY
)
SCREENS: Final = Gauge("assay_screens", "Screenings that are remembered, by verdict.", ["verdict"], registry=REGISTRY)
STORE_UP: Final = Gauge("assay_store_up", "Could the queue be read at this scrape?", registry=REGISTRY)
JOB_SECONDS: Final = Histogram(
    "assay_job_seconds",
    "What jobs took, by kind and result.",
    ["kind", "result"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600),
    registry=REGISTRY,
)
API_REMAINING: Final = Gauge(
    "assay_github_api_remaining", "Requests left, as GitHub's newest answer said.", ["resource"], registry=REGISTRY
)
SCREENINGS: Final = Counter(
    "assay_screenings", "Screenings done, by verdict or by the kind of failure.", ["result"], registry=REGISTRY
)
SWEPT: Final = Counter(
    "assay_swept",
    "What a sweep found that nobody was doing: deliveries, leases that ran out.",
    ["what"],
    registry=REGISTRY,
)
WAKEUPS_REFUSED: Final = Counter(
    "assay_tickets_refused", "What lay in the queue and was no wake-up of ours.", registry=REGISTRY
)
