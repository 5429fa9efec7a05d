"""The task of a screening, its result and its failures: what worker and child exchange as JSON.

With `pair_task` set, the child builds a fine-tuning run's input file instead of measuring.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from bot.sandbox.limits import Limits
from bot.sandbox.pair_task import PairTask, dump_pair_task, load_pair_task
from pipeline.classify.overlay import NO_OVERLAY, Overlay
from pipeline.label_recipe import MESSAGES, recipe_named
from pipeline.ranking.shortlist import Shortlist
from pipeline.screening.measurement import Measurement

FailureKind = Literal[
    "refused",  # the token may not read it
    "missing",  # no such repository
    "unavailable",  # the server or the network is down
    "too_large",  # over the limit on a pack or a file
    "disk_full",  # no room for any clone
    "unreadable",  # the repository cannot be parsed or cloned
    "moved",  # the pinned commit is no longer on the branch
    "memory",  # over its own limit
    "time",  # wall or CPU time
    "killed",  # from outside: by the kernel, which was short of memory, or by a person
    "crash",  # of the child: a bug, or a malicious file
    "interrupted",  # the fork server ended; the screening is not to blame
]
FAILURE_KINDS: tuple[FailureKind, ...] = get_args(FailureKind)


@dataclass(frozen=True)
class EvidenceFile:
    """Facts about issues and pull requests, fetched before the screening, and the repository they belong to."""

    path: Path  # in the repository's folder
    as_of: int  # seconds since 1970: issues opened later are ignored
    name: str  # owner/name
    host: str


@dataclass(frozen=True)
class ScreeningTask:
    """One repository to clone or fetch, and to measure."""

    url: str
    folder: Path  # the repository's own: holds the clone and the cached facts
    max_pack_bytes: int
    token: str = field(default="", repr=False)  # empty: no credentials
    seen_at: int | None = None  # when the head was first seen, in seconds since 1970: no window ends later
    ca_bundle: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)  # HTTPS_PROXY and the like; may hold passwords
    memory_mb: int = 4_096
    wall_s: float = 3_600
    cpu_s: int = 3_600
    file_bytes: int = 8 << 30
    rank: bool = False  # also rank functions and files after measuring
    rank_s: float = 60  # time for the ranking, within `wall_s`
    overlay: Overlay = NO_OVERLAY  # from the repository's own configuration
    recipe: str = MESSAGES.name
    evidence: EvidenceFile | None = None
    pair_task: PairTask | None = None  # instead of a measurement
    from_scratch: bool = False  # discard a stored clone

    @property
    def ports(self) -> tuple[int, ...]:
        """Return the TCP ports that cloning may need: the server's, the proxies' and that of DNS."""
        http = urlsplit(self.url).scheme == "http"
        found = {_port_of(self.url), *map(_port_of, self.proxies.values()), *((443,) if http else ()), 53}
        return tuple(sorted(found - {0}))

    @property
    def limits(self) -> Limits:
        """The limits of the child."""
        return Limits(self.memory_mb, self.cpu_s, self.wall_s, self.file_bytes)


DAMAGED: Final = "the stored clone is damaged: it is cloned again"  # in a new child, as this one has no network by now


@dataclass(frozen=True)
class Screened:
    """A measurement, with a ranking if the task requested one and it succeeded."""

    measurement: Measurement
    shortlist: Shortlist | None = None
    unranked: str = ""  # why a requested ranking is missing, without any name or text from the repository


class ScreeningFailed(Exception):
    """A screening failed: `kind` decides what happens next, `sentence` explains it to a person."""

    def __init__(self, kind: FailureKind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.sentence = sentence


def _port_of(address: str) -> int:
    """Return the port of a URL or of HOST:PORT; 0 if there is none."""
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        return parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return 0


def dump_task(task: ScreeningTask) -> bytes:
    """Return the task as one line of JSON."""
    values: dict[str, Any] = {
        "url": task.url,
        "folder": str(task.folder),
        "max_pack_bytes": task.max_pack_bytes,
        "token": task.token,
        "seen_at": task.seen_at,
        "ca_bundle": str(task.ca_bundle) if task.ca_bundle else None,
        "proxies": dict(task.proxies),
        "memory_mb": task.memory_mb,
        "wall_s": task.wall_s,
        "cpu_s": task.cpu_s,
        "file_bytes": task.file_bytes,
        "rank": task.rank,
        "rank_s": task.rank_s,
        "overlay": asdict(task.overlay),
        "recipe": task.recipe,
        "evidence": asdict(task.evidence) | {"path": str(task.evidence.path)} if task.evidence else None,
        "pair_task": dump_pair_task(task.pair_task),
        "from_scratch": task.from_scratch,
    }
    return json.dumps(values).encode() + b"\n"


def load_task(line: bytes) -> ScreeningTask:
    """Load what `dump_task` returned. Raises KeyError or ValueError for anything else."""
    values = json.loads(line)
    values["folder"] = Path(values["folder"])
    if recipe_named(values["recipe"]) is None:
        raise ValueError(f"no label recipe is called {values['recipe']!r}")
    values["ca_bundle"] = Path(values["ca_bundle"]) if values["ca_bundle"] else None
    if evidence := values["evidence"]:
        values["evidence"] = EvidenceFile(**evidence | {"path": Path(evidence["path"])})
    values["overlay"] = _load_overlay(values["overlay"])
    values["pair_task"] = load_pair_task(values["pair_task"])
    return ScreeningTask(**values)


def _load_overlay(values: Mapping[str, Any]) -> Overlay:
    fields: dict[str, Any] = {name: None if value is None else tuple(value) for name, value in values.items()}
    return Overlay(**fields)
