"""Fine-tuning runs that ended, with made-up results."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from bot.records import Run
from pipeline.finetuning.result import FinetuneResult
from pipeline.reports.finetune_json import finetune_json
from tests.bot.messages.screenings import HEAD
from tests.builders.finetunings import result
from tests.builders.runs import a_run

ASKED_AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SHORTLIST: dict[str, Any] = {
    "scorer": "adapter",
    "ranked_functions": 300,
    "ranked_files": 60,
    "functions": [{"path": "src/cart.py", "qualified_name": "Cart.add", "start_line": 12, "reasons": ["3 fixes"]}],
    "files": [{"path": "src/cart.py", "qualified_name": "Cart.add", "start_line": 12, "reasons": ["3 fixes"]}],
    "retrained": {
        "run_id": "7",
        "judged_at": "2026-11-22T12:00:00+00:00",
        "trained_from": 1_700_000_000,
        "trained_until": 1_760_000_000,
        "model": "tiny",
    },
}


def stored_result(finished: FinetuneResult | None = None, **changed: Any) -> dict[str, Any]:
    """Return a result as the database returns it. `changed`: fields of the JSON."""
    made: dict[str, Any] = json.loads(json.dumps(finetune_json(finished or result())))
    return made | changed


def ended_run(ending: str | None = "finished", **changed: Any) -> Run:
    """Return run 7 of `acme/shop`, a WIN if it finished."""
    usual: dict[str, Any] = {
        "installation_id": 10,
        "repository_id": 100,
        "state": "ended",
        "ending": ending,
        "head_sha": HEAD,
        "screening_id": 1,
        "label_recipe_id": "0123456789ab",
        "pair_set_id": "b" * 64,
        "estimated_minutes": 120.0,
        "spent_minutes": 34.2,
        "budget_month": "2026-11",
        "settled": True,
        "made_at": ASKED_AT,
        "result": stored_result() if ending == "finished" else None,
    }
    return a_run(**usual | changed)


def ranker(purpose: str = "refit", ending: str | None = "finished", **changed: Any) -> Run:
    """Return a run that ranks with the adapter of run 7."""
    result = {"shortlist": SHORTLIST} if ending == "finished" else None
    usual = {"run_id": 8, "purpose": purpose, "judged_run_id": 7, "result": result, "artifacts": "done"}
    return ended_run(ending, **usual | changed)
