"""The files of fine-tuning runs: what they read, what they resume from, what they made. Bot and GPU workers share it.

    installations/{installation}/repositories/{repository}/
        pairs/{SHA-256}.parquet      what a run reads, by its content
        runs/{run}/checkpoints/      while it is not over
        runs/{run}/done/{lease}/     adapters and result, as the worker under that lease left them

Every part of a name that comes from elsewhere is a number or hexadecimal. Everything here blocks: call it in a thread.
Every method raises StoreError where the store does not work.
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


@dataclass(frozen=True, order=True)
class Stored:
    """Something that lies in the store: the pairs of an id, the checkpoints of a run, or what one lease left of it."""

    installation_id: int
    repository_id: int
    kind: Kind
    run_id: int = 0
    name: str = ""  # of pairs their id, of `done` the lease


class Artifacts:
    """Everything below a folder of this machine or an fsspec URL. A folder is made for this user only."""

    def __init__(self, url: str | Path) -> None:
        self._url = str(url).rstrip("/")

    def put_pairs(self, installation_id: int, repository_id: int, content: bytes, pair_set_id: str) -> None:
        """Keep what a run will read. What is there by that id stays: a run may be reading it."""
        store = self._store(f"{_repository(installation_id, repository_id)}/pairs")
        name = _pairs_name(pair_set_id)
        if name not in store.names():
            store.write(name, content)

    def read_pairs(self, run: Run) -> bytes:
        """The file that a run reads, as it lies there. Raises AssayError where it is gone, and StoreError."""
        try:
            return self._store(f"{_of(run)}/pairs").read(_pairs_name(run.pair_set_id))
        except MissingError:
            raise AssayError(f"the pairs of run {run.run_id} are not in the store any more: ask for it again") from None

    def get_pairs(self, run: Run) -> bytes:
        """The same, once it is proven to be what was gathered for the run. Raises AssayError where it is not."""
        content = self.read_pairs(run)
        if _id_of(run, content) != run.pair_set_id:
            raise AssayError(f"the pairs of run {run.run_id} are not those that were gathered for it: ask for it again")
        return content

    def run_url(self, run: Run) -> str:
        """The folder of one run: `checkpoints` and `done` are in it."""
        return self._at(_run(run))

    def checkpoints_url(self, run: Run) -> str:
        return f"{self.run_url(run)}/checkpoints"

    def done_name(self, run: Run) -> str:
        """`Run.artifacts` of who finishes it under this lease: no other worker writes there. Raises ValueError."""
        if not re.fullmatch(r"[0-9a-f]{12,}", run.lease_token):
            raise ValueError(f"run {run.run_id} is under no lease")
        return f"{_run(run)}/done/{run.lease_token[:_LEASE_DIGITS]}"

    def open_done(self, name: str) -> Store:
        """The store that a `Run.artifacts` names."""
        return self._store(name)

    def remove_run(self, run: Run) -> None:
        """Its checkpoints, adapters and result; not its pairs, which another run may read."""
        self._remove(_run(run))

    def remove(self, stored: Stored) -> None:
        """One of `contents`."""
        of = _repository(stored.installation_id, stored.repository_id)
        if stored.kind == "pairs":
            self._store(f"{of}/pairs").delete(_pairs_name(stored.name))
        elif stored.kind:
            self._remove("/".join(filter(None, (of, "runs", str(stored.run_id), stored.kind, stored.name))))

    def remove_repository(self, installation_id: int, repository_id: int) -> None:
        self._remove(_repository(installation_id, repository_id))

    def remove_installation(self, installation_id: int) -> None:
        self._remove(f"installations/{int(installation_id)}")

    def remove_leftovers(self, run: Run) -> None:
        """Of one that is over: its checkpoints, and what workers left that lost it. `Run.artifacts` stays."""
        kept = run.artifacts.rstrip("/").rpartition("/")[2]
        for name in {name.partition("/")[0] for name in self._store(f"{_run(run)}/done").names()} - {kept}:
            self._remove(f"{_run(run)}/done/{name}")
        self._remove(f"{_run(run)}/checkpoints")

    def contents(self) -> tuple[Stored, ...]:
        """What lies here of which repository: pairs, checkpoints, and what workers left; each once, sorted.

        A repository of which only empty folders are left has an empty `kind`.
        """
        root = self._store("")
        names = list(root.names())
        if isinstance(root, LocalStore):
            folders = Path(root.where).glob("installations/*/repositories/*")
            names += [f"{folder.relative_to(root.where).as_posix()}/" for folder in folders]
        found = (_stored(match) for match in map(_CONTENT.match, names) if match)
        return tuple(sorted(set(found)))

    def _at(self, name: str) -> str:
        return f"{self._url}/{name}" if name else self._url

    def _store(self, name: str) -> Store:
        root = open_store(self._url)
        if isinstance(root, LocalStore):
            try:
                make_private(Path(root.where))
            except OSError as error:
                to_do = "set ASSAY_ARTIFACTS_URL to a folder that can be written"
                raise StoreError(f"{root.where} cannot be made ({error.strerror}): {to_do}") from None
        return open_store(self._at(name))

    def _remove(self, name: str) -> None:
        """Everything in a folder; on this machine the folder too, and half-written files in it."""
        store = self._store(name)
        if isinstance(store, LocalStore):
            folder = Path(store.where)
            delete_all_in(folder)
            with contextlib.suppress(OSError):  # others are in it, or it is gone
                for place in (folder, *folder.parents[: name.count("/")]):
                    place.rmdir()
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
        raise StoreError(f"{pair_set_id!r} is no id of pairs")
    return f"{pair_set_id}.parquet"


def _id_of(run: Run, content: bytes) -> str:
    """What the content says it is, proven. Only who trains needs the library that reads it."""
    if run.purpose == "judge":
        from pipeline.finetuning.pair_file import decode_pairs

        return decode_pairs(content, f"pairs of run {run.run_id}").id
    from pipeline.finetuning.ranking_file import decode_ranking_set

    return decode_ranking_set(content, f"ranking set of run {run.run_id}").id
