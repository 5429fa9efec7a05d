"""Run a function in a child process that may use only so much memory and processor time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent.parent

_CHILD = """
import importlib, json, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[1]), int(sys.argv[1]) + 1))
module, function, arguments = json.loads(sys.argv[2])
call = getattr(importlib.import_module(module), function)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = call(*arguments)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([result, (peak - before) // 1024]))
"""


def run_limited(module: str, function: str, *arguments: Any, most_mb: int = 150, cpu_s: int = 20) -> Any:
    """What `function` of `module` returns (JSON). Fails where it takes more processor time, or grows by more memory."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(cpu_s), json.dumps([module, function, arguments])],
        cwd=_ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr[-2000:]}"
    result, grown_mb = json.loads(done.stdout.splitlines()[-1])
    assert grown_mb < most_mb, f"grew by {grown_mb} MB"
    return result
