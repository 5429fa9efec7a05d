"""Artifact store of fine-tuning runs, shared by bot and GPU workers: inputs, checkpoints and results.

    installations/{installation}/repositories/{repository}/
        pairs/{SHA-256}.parquet      a run's input, named by its content
        runs/{run}/checkpoints/      until the run ends
        runs/{run}/done/{lease}/     adapters and result, written by the worker that held this lease

Every part of a name that comes from outside is a number or hexadecimal. All methods block (call them in a thread) and
raise StoreError when the store fails.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from bot.disk.private_folders import delete_all_in, make_private
from bot.records import Run
from pipeline.finetuning.artifact_store import LocalStore, MissingError, Store, StoreError, open_store
from pipeline.records import AssayError

Kind = Literal["", "pairs", "checkpoints", "done"]

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_CONTENT: Final = re.compile(
    r"installations/(?P<installation>[0-9]+)/repositories/(?P<repository>[0-9]+)/"
    r"(?:pairs/(?P<pairs>[0-9a-f]{64})|runs/(?P<run>[0-9]+)/(?:(?P<checkpoints>checkpoints)|done/(?P<done>[^/]+)))?"
)
_LEASE_DIGITS: Final = 12


class PairsGone(AssayError):
    """A run's input is no longer stored."""


class PairsChanged(AssayError):
    """A run's stored input is not the one that was collected for it."""


@dataclass(frozen=True, order=True)
class Stored:
    """An item in the store: one input, or the checkpoints or one lease's results of a run."""

    installation_id: int
    repository_id: int
    kind: Kind
    run_id: int = 0
    name: str = ""  # "pairs": their id; "done": the lease


class Artifacts:
    """The store at a local folder, which is created private to this user, or at an fsspec URL."""

    def __init__(self, url: str | Path) -> None:
        self._url = str(url).rstrip("/")

    def put_pairs(self, installation_id: int, repository_id: int, content: bytes, pair_set_id: str) -> None:
        """Store a run's input. An existing file with this id is kept, since a run may be reading it."""
        store = self._store(f"{_repository(installation_id, repository_id)}/pairs")
        name = _pairs_name(pair_set_id)
        if name not in store.names():
            store.write(name, content)

    def read_pairs(self, run: Run) -> bytes:
        """Return a run's input unverified. Raises PairsGone."""
        try:
            return self._store(f"{_of(run)}/pairs").read(_pairs_name(run.pair_set_id or ""))
        except MissingError:
            raise PairsGone(f"the pairs of run {run.run_id} are gone") from None

    def get_pairs(self, run: Run) -> bytes:
        """Return a run's input after verifying its id. Raises PairsGone or PairsChanged."""
        content = self.read_pairs(run)
        if _id_of(run, content) != run.pair_set_id:
            raise PairsChanged(f"the pairs of run {run.run_id} do not have its id")
        return content

    def run_url(self, run: Run) -> str:
        """Return the URL of a run's folder, which contains `checkpoints` and `done`."""
        return self._at(_run(run))

    def checkpoints_url(self, run: Run) -> str:
        """Return the URL of a run's checkpoints."""
        return f"{self.run_url(run)}/checkpoints"

    def done_name(self, run: Run) -> str:
        """Return the `Run.artifacts` of a run that finishes under its current lease: only the holder writes there.

        Raises ValueError if the run has no lease.
        """
        if not re.fullmatch(r"[0-9a-f]{12,}", run.lease_token or ""):
            raise ValueError(f"run {run.run_id} is under no lease")
        return f"{_run(run)}/done/{(run.lease_token or '')[:_LEASE_DIGITS]}"

    def open_done(self, name: str) -> Store:
        """Open the store that `Run.artifacts` names."""
        return self._store(name)

    def remove_run(self, run: Run) -> None:
        """Delete a run's checkpoints, adapters and result, but not its input, which another run may use."""
        self._remove(_run(run))

    def remove(self, stored: Stored) -> None:
        """Delete one item of `contents`."""
        of = _repository(stored.installation_id, stored.repository_id)
        if stored.kind == "pairs":
            self._store(f"{of}/pairs").delete(_pairs_name(stored.name))
        elif stored.kind:
            self._remove("/".join(filter(None, (of, "runs", str(stored.run_id), stored.kind, stored.name))))

    def remove_repository(self, installation_id: int, repository_id: int) -> None:
        """Delete everything of a repository."""
        self._remove(_repository(installation_id, repository_id))

    def remove_installation(self, installation_id: int) -> None:
        """Delete everything of an installation."""
        self._remove(f"installations/{int(installation_id)}")

    def remove_leftovers(self, run: Run) -> None:
        """Delete an ended run's checkpoints and the results of workers that lost its lease; keep `Run.artifacts`."""
        kept = (run.artifacts or "").rstrip("/").rpartition("/")[2]
        for name in {name.partition("/")[0] for name in self._store(f"{_run(run)}/done").names()} - {kept}:
            self._remove(f"{_run(run)}/done/{name}")
        self._remove(f"{_run(run)}/checkpoints")

    def contents(self) -> tuple[Stored, ...]:
        """List everything in the store, sorted and unique. A repository's empty folders have an empty `kind`."""
        root = self._store("")
        names = list(root.names())
        if isinstance(root, LocalStore):
            folders = Path(root.where).glob("installations/*/repositories/*")
            names += [f"{folder.relative_to(root.where).as_posix()}/" for folder in folders]
        items = (_stored(match) for match in map(_CONTENT.match, names) if match)
        return tuple(sorted(set(items)))

    def _at(self, name: str) -> str:
        return f"{self._url}/{name}" if name else self._url

    def _store(self, name: str) -> Store:
        root = open_store(self._url)
        if isinstance(root, LocalStore):
            try:
                make_private(Path(root.where))
            except OSError as error:
                advice = "set ASSAY_ARTIFACTS_URL to a writable folder"
                raise StoreError(f"cannot create {root.where} ({error.strerror}): {advice}") from None
        return open_store(self._at(name))

    def _remove(self, name: str) -> None:
        """Delete everything in a folder; locally also partial files, the folder and parents that become empty."""
        store = self._store(name)
        if isinstance(store, LocalStore):
            folder = Path(store.where)
            delete_all_in(folder)
            with contextlib.suppress(OSError):  # not empty, or already gone
                for path in (folder, *folder.parents[: name.count("/")]):
                    path.rmdir()
            return
        for file in store.names():
            store.delete(file)


def _stored(match: re.Match[str]) -> Stored:
    ids = int(match["installation"]), int(match["repository"])
    if match["pairs"]:
        return Stored(*ids, "pairs", name=match["pairs"])
    if match["checkpoints"]:
        return Stored(*ids, "checkpoints", int(match["run"]))
    if match["done"]:
        return Stored(*ids, "done", int(match["run"]), match["done"])
    return Stored(*ids, "")


def _repository(installation_id: int, repository_id: int) -> str:
    return f"installations/{int(installation_id)}/repositories/{int(repository_id)}"


def _of(run: Run) -> str:
    return _repository(run.installation_id, run.repository_id)


def _run(run: Run) -> str:
    return f"{_of(run)}/runs/{int(run.run_id)}"


def _pairs_name(pair_set_id: str) -> str:
    if not _SHA256.fullmatch(pair_set_id):
        raise StoreError(f"{pair_set_id!r} is not the id of a pair set")
    return f"{pair_set_id}.parquet"


def _id_of(run: Run, content: bytes) -> str:
    """Return the verified id of the content. Imports here, because only training needs Parquet."""
    if run.purpose == "judge":
        from pipeline.finetuning.pair_file import decode_pairs

        return decode_pairs(content, f"pairs of run {run.run_id}").id
    from pipeline.finetuning.ranking_file import decode_ranking_set

    return decode_ranking_set(content, f"ranking set of run {run.run_id}").id
