"""Load the evidence file of a task: issues and pull requests that were fetched before, as a tracker."""

from __future__ import annotations

from bot.github.evidence.evidence_facts import EvidenceFacts, tracker_of
from bot.github.evidence.fact_file import FactFile
from bot.sandbox.screening_task import ScreeningTask
from pipeline.classify.references import Home
from pipeline.mining.issue_links import Tracked


def tracked_of(task: ScreeningTask) -> Tracked | None:
    """Return the task's tracker, None if nothing was fetched. An unreadable file yields a tracker without issues."""
    evidence = task.evidence
    if evidence is None:
        return None
    facts = FactFile(evidence.path).load() or EvidenceFacts()
    tracker = tracker_of(facts, evidence.as_of, task.overlay.bug_labels)
    return Tracked(tracker, Home(evidence.name, evidence.host))
