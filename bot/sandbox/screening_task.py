"""What a screening is asked for, what it gives and how it can fail: what worker, supervisor and child pass on as JSON.

The same order, with `gather`, asks for what a fine-tuning run reads instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from bot.sandbox.limits import Limits
from bot.sandbox.pair_task import Gathering, dump_gathering, load_gathering
from pipeline.classify.overlay import NO_OVERLAY, Overlay
from pipeline.ranking.shortlist import Shortlist
from pipeline.screening.measurement import Measurement

FailureKind = Literal[
    "refused",  # the token may not read it
    "missing",  # there is no such repository
    "unavailable",  # the server or the way to it does not work now
    "too_large",  # more than the limit on a pack or a file
    "disk_full",  # there is no room for any clone
    "unreadable",  # it is there, and nothing can be made of it
    "moved",  # the commit that was pinned is not in the branch any more
    "memory",
    "time",  # wall or processor
    "crash",  # of the child: a bug, or a file made for it
    "interrupted",  # not its fault: the process that starts children ended
]
RecipeName = Literal["messages", "messages+api"]
FAILURE_KINDS: tuple[FailureKind, ...] = get_args(FailureKind)


@dataclass(frozen=True)
class EvidenceFile:
    """Facts about issues and pull requests that were fetched before, and whose references they answer."""

    path: Path  # in the repository's folder
    as_of: int  # seconds since 1970: what was opened later is unknown
    name: str  # owner/name
    host: str


@dataclass(frozen=True)
class ScreeningTask:
    """One repository to be cloned or fetched, and measured."""

    url: str
    folder: Path  # the repository's own: clone and facts are kept in it
    most_bytes: int  # of a pack
    token: str = field(default="", repr=False)  # none where empty
    seen_at: int | None = None  # when its head was first seen, in seconds since 1970: no window ends later
    ca_bundle: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)  # HTTPS_PROXY and the like; may hold passwords
    memory_mb: int = 4_096
    wall_s: float = 3_600
    cpu_s: int = 3_600
    file_bytes: int = 8 << 30
    rank: bool = False  # its functions and files too, once it is measured
    rank_s: float = 60  # for that, within `wall_s`
    overlay: Overlay = NO_OVERLAY  # of the repository's own configuration
    recipe: RecipeName = "messages"
    evidence: EvidenceFile | None = None  # of issues and pull requests
    gather: Gathering | None = None  # instead of a measurement

    @property
    def limits(self) -> Limits:
        return Limits(self.memory_mb, self.cpu_s, self.wall_s, self.file_bytes)


@dataclass(frozen=True)
class Screened:
    """A repository measured, and ranked where that was asked for and went well."""

    measurement: Measurement
    shortlist: Shortlist | None = None
    unranked: str = ""  # why it was not ranked although that was asked for, without a name or a text of the repository


class ScreeningFailed(Exception):
    """One screening came to nothing: `kind` says what to do about it, `sentence` tells a person."""

    def __init__(self, kind: FailureKind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind
        self.sentence = sentence


def dump_order(order: ScreeningTask) -> bytes:
    """One line."""
    values: dict[str, Any] = {
        "url": order.url,
        "folder": str(order.folder),
        "most_bytes": order.most_bytes,
        "token": order.token,
        "seen_at": order.seen_at,
        "ca_bundle": str(order.ca_bundle) if order.ca_bundle else None,
        "proxies": dict(order.proxies),
        "memory_mb": order.memory_mb,
        "wall_s": order.wall_s,
        "cpu_s": order.cpu_s,
        "file_bytes": order.file_bytes,
        "rank": order.rank,
        "rank_s": order.rank_s,
        "overlay": asdict(order.overlay),
        "recipe": order.recipe,
        "evidence": asdict(order.evidence) | {"path": str(order.evidence.path)} if order.evidence else None,
        "gather": dump_gathering(order.gather),
    }
    return json.dumps(values).encode() + b"\n"


def load_order(line: bytes) -> ScreeningTask:
    """Our own words: raises KeyError or ValueError for others."""
    values = json.loads(line)
    values["folder"] = Path(values["folder"])
    values["ca_bundle"] = Path(values["ca_bundle"]) if values["ca_bundle"] else None
    if evidence := values["evidence"]:
        values["evidence"] = EvidenceFile(**evidence | {"path": Path(evidence["path"])})
    values["overlay"] = _load_overlay(values["overlay"])
    values["gather"] = load_gathering(values["gather"])
    return ScreeningTask(**values)


def _load_overlay(values: Mapping[str, Any]) -> Overlay:
    said: dict[str, Any] = {name: None if value is None else tuple(value) for name, value in values.items()}
    return Overlay(**said)
