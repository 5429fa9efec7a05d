"""The output folder of a job: only working files until the job is done, then everything, result.json last.

.job/                  the state to resume from (job_state.py); removed when the job is done
adapter-seed-1/        one per seed
curves.png
result.json            marks the job as done
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
ADAPTER_PREFIX = "adapter-seed-"
_JOB = "job.json"


def adapter_folder(seed: int) -> str:
    return f"{ADAPTER_PREFIX}{seed}"


def require_usable(out: Path) -> None:
    """Raise AssayError unless a job can begin or resume in `out`, which need not exist yet.

    Call it before long work, so that a mistake shows early.
    """
    if out.exists() and not out.is_dir():
        raise AssayError(f"--out {out} is a file: name a new folder")
    existing = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise AssayError(f"--out {out}: no permission to write in {existing}: name another folder")
    entries = {entry.name for entry in out.iterdir()} if out.exists() else set()
    if (out / WORK / _JOB).is_file() or not entries - {WORK}:
        return
    if RESULT in entries:
        shutil.rmtree(out / WORK, ignore_errors=True)
        raise AssayError(f"--out {out} holds the result of a finished job: name a new folder")
    raise AssayError(f"--out {out} is not empty and holds no unfinished job: name a new folder")


@contextmanager
def working_folder(out: Path) -> Iterator[Path]:
    """Lock and yield the folder of the state to resume from. Raises AssayError while another process uses it."""
    require_usable(out)
    work = out / WORK
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AssayError(f"--out {out} cannot be created ({error.strerror}): name another folder") from None
    with (work / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AssayError(f"another process is using {out}: wait for it, or name another folder") from None
        yield work


def remove_leftovers(out: Path) -> None:
    """Remove what a process left behind that was killed while it wrote an adapter."""
    for path in out.glob(f".{ADAPTER_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)


def publish(out: Path, files: Mapping[str, bytes]) -> None:
    """Write files by name, each whole or not at all, result.json last. Raises AssayError if the disk is full."""
    store = open_store(out)
    for name in sorted(files, key=lambda name: name == RESULT):
        store.write(name, files[name])


def remove_work(out: Path) -> None:
    """Remove the state to resume from, the marker first, so that a job that is killed here counts as done."""
    (out / WORK / _JOB).unlink(missing_ok=True)
    shutil.rmtree(out / WORK, ignore_errors=True)
