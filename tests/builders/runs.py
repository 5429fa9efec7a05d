"""A fine-tuning run, with any field overridden."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bot.records import Run

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


def a_run(**changed: Any) -> Run:
    """Run 7 of repository 2 in installation 1, at work."""
    values: dict[str, Any] = {
        "run_id": 7,
        "installation_id": 1,
        "repository_id": 2,
        "purpose": "judge",
        "state": "running",
        "ending": None,
        "reason": None,
        "head_sha": "a" * 40,
        "screening_id": 3,
        "judged_run_id": None,
        "forced": False,
        "audit": False,
        "asked_by": 4,
        "comment_id": 5,
        "base_model": "tiny",
        "recipe": {},
        "recipe_id": None,
        "label_recipe_id": "l" * 12,
        "config_hash": "",
        "pair_set_id": None,
        "estimated_minutes": 0.0,
        "spent_minutes": 0.0,
        "budget_month": None,
        "attempts": 1,
        "worker": None,
        "lease_token": None,
        "cancel_asked": False,
        "progress": {},
        "progress_at": None,
        "checkpoints": (),
        "result": None,
        "artifacts": None,
        "settled": False,
        "made_at": AT,
        "queued_at": None,
        "started_at": None,
        "ended_at": None,
    }
    return Run(**values | changed)
