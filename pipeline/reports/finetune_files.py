"""What stands beside the adapters of a job: result.json and curves.png."""

from __future__ import annotations

import json

from pipeline.finetuning.result import FinetuneResult
from pipeline.reports.curves import render_curves
from pipeline.reports.finetune_json import finetune_json


def render_files(result: FinetuneResult) -> dict[str, bytes]:
    """The files by name. The JSON is that of `assay finetune --json`."""
    written = json.dumps(finetune_json(result), indent=1, allow_nan=False)
    return {"curves.png": render_curves(result), "result.json": written.encode() + b"\n"}
