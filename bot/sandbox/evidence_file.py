"""What a child knows of issues and pull requests: the file that was fetched for its order, as a tracker."""

from __future__ import annotations

from bot.github.evidence.evidence_facts import EvidenceFacts, tracker_of
from bot.github.evidence.fact_file import FactFile
from bot.sandbox.screening_task import ScreeningTask
from pipeline.classify.references import Home
from pipeline.mining.issue_links import Tracked


def tracked_of(order: ScreeningTask) -> Tracked | None:
    """None where nothing was fetched. A file that cannot be read any more knows of no issue."""
    evidence = order.evidence
    if evidence is None:
        return None
    facts = FactFile(evidence.path).load() or EvidenceFacts()
    tracker = tracker_of(facts, evidence.as_of, order.overlay.bug_labels)
    return Tracked(tracker, Home(evidence.name, evidence.host))
