"""Run PyDriller on the commits named on stdin, one hash per line, in a process of its own.

For each commit it evaluates `modified_files` and, for every file, `changed_methods`. The cost of methods in files that
Assay excludes (tests, other languages, generated code) is also reported separately. Commits are fetched by hash, which
spares PyDriller the walk of the history. PyDriller writes a configuration entry, so pass a copy of the repository.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

from pipeline.mining.miner import is_source


def main(path: str, hashes: list[str]) -> dict[str, object]:
    """Visit the commits; return counts and the CPU seconds for start-up and for files that Assay excludes."""
    pydriller: Any = importlib.import_module("pydriller")
    repository = pydriller.Git(path)
    startup_cpu_s = time.process_time()
    left_out_cpu_s = 0.0
    failed = 0
    for sha in hashes:
        try:
            for file in repository.get_commit(sha).modified_files:
                began_s = time.process_time()
                len(file.changed_methods)
                if not is_source(os.fsencode(file.new_path or file.old_path)):
                    left_out_cpu_s += time.process_time() - began_s
        except Exception as error:  # its parsers fail on some files; the time until then counts
            failed += 1
            print(f"{sha}: {type(error).__name__}: {error}", file=sys.stderr)
    repository.clear()
    return {
        "visited": len(hashes),
        "failed": failed,
        "startup_cpu_s": startup_cpu_s,
        "left_out_cpu_s": left_out_cpu_s,
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.stdin.read().split())))
