"""The other side of the comparison: PyDriller on the commits named on stdin, one hash a line. A process of its own.

For each commit it is asked for `modified_files` and, of the files that Assay reads too, for `changed_methods`: nothing
that Assay would not look at is charged to it. Commits are fetched by hash, which spares it the walk of the history.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
from typing import Any

from pipeline.mining.mine import is_source


def main(path: str, hashes: list[str]) -> dict[str, object]:
    """Visit the commits; say how many there were, of how many methods, and the CPU seconds before the first one."""
    pydriller: Any = importlib.import_module("pydriller")
    repository = pydriller.Git(path)
    startup_cpu_s = _cpu_s()
    files = methods = failed = 0
    for sha in hashes:
        try:
            for file in repository.get_commit(sha).modified_files:
                name = file.new_path or file.old_path
                if is_source(os.fsencode(name)):
                    files += 1
                    methods += len(file.changed_methods)
        except Exception as error:  # its parsers give up on some files; the time until then counts
            failed += 1
            print(f"{sha}: {type(error).__name__}: {error}", file=sys.stderr)
    repository.clear()
    return {
        "visited": len(hashes),
        "failed": failed,
        "files": files,
        "methods": methods,
        "startup_cpu_s": startup_cpu_s,
    }


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.stdin.read().split())))
