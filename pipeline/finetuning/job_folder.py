"""The folder that a job writes: nothing but its working files until all is done, then everything, result.json last.

.job/                  what is needed to resume (job_state.py), gone when the job is done
adapter-seed-1/        one a seed
curves.png
result.json            says that the job is done
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pipeline.finetuning.artifact_store import open_store
from pipeline.records import AssayError

WORK, RESULT = ".job", "result.json"
_JOB = "job.json"


def adapter_folder(seed: int) -> str:
    return f"adapter-seed-{seed}"


def require_usable(out: Path) -> None:
    """Raises AssayError unless a job can begin or go on in `out`, which need not exist yet.

    Better said before long work than after.
    """
    if out.exists() and not out.is_dir():
        raise AssayError(f"--out {out} is a file: name a new folder")
    there = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise AssayError(f"--out {out}: no permission to write in {there}: name another folder")
    found = {entry.name for entry in out.iterdir()} if out.exists() else set()
    if (out / WORK / _JOB).is_file() or not found - {WORK}:
        return
    if RESULT in found:
        shutil.rmtree(out / WORK, ignore_errors=True)
        raise AssayError(f"--out {out} holds the result of a job that is done: name a new folder")
    raise AssayError(f"--out {out} is not empty, and no unfinished job of Assay: name a new folder")


@contextmanager
def working_folder(out: Path) -> Iterator[Path]:
    """The folder of what is needed to resume, for this process alone. Raises AssayError while another works there."""
    require_usable(out)
    work = out / WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AssayError(f"--out {out} cannot be made ({error.strerror}): name another folder") from None
    with (work / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AssayError(f"another process works in {out}: wait for it, or name another folder") from None
        yield work


def remove_leftovers(out: Path) -> None:
    """What a process left that was killed while it wrote an adapter."""
    for path in out.glob(f".{adapter_folder(0)[:-1]}*"):
        shutil.rmtree(path, ignore_errors=True)


def publish(out: Path, files: Mapping[str, bytes]) -> None:
    """Write files by name, each whole or not at all, result.json last. Raises AssayError where there is no room."""
    store = open_store(out)
    for name in sorted(files, key=lambda name: name == RESULT):
        store.write(name, files[name])


def remove_work(out: Path) -> None:
    """Forget what is needed to resume: the marker first, so that a job that was stopped here counts as done."""
    (out / WORK / _JOB).unlink(missing_ok=True)
    shutil.rmtree(out / WORK, ignore_errors=True)
