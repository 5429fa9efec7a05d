"""The fix commits of a window: which commits carry evidence, what they changed, which functions that touched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.classify.messages import MessageFacts
from pipeline.classify.overlay import CONFIGURED
from pipeline.classify.paths import excluded_path
from pipeline.git.history import History, first_parent
from pipeline.git.trees import FileChange
from pipeline.mining.diffs import FilePair, want_of
from pipeline.mining.facts.cache import FactCache
from pipeline.mining.facts.compute import ChangeWant
from pipeline.mining.facts.lineage import FunctionKey

MERGE = "merge"
TESTS_ONLY = "changes tests only"
NO_SOURCE = "changes no source file"
ONLY_CONFIGURED = "changes only paths that this repository's configuration leaves out"
ONLY_COMMENTS = "changes comments or white space only"
NO_PARENT = "first commit of the history or of a shallow clone"
NOT_READABLE = "its objects are missing or broken"


@dataclass(frozen=True)
class FixCommit:
    """A commit with fix evidence and the source files that it changed, renames joined."""

    commit: int
    pairs: tuple[FilePair, ...]

    @property
    def wants(self) -> list[ChangeWant]:
        return [want_of(pair, code=True) for pair in self.pairs]


def reason_not_to_count(history: History, commit: int, facts: MessageFacts) -> str | None:
    """Why a commit is no fix commit whatever it says, as far as its message and place tell."""
    if len(history.graph.parents[commit]) > 1:
        return MERGE
    if facts.not_a_fix:
        return facts.not_a_fix
    return NO_PARENT if first_parent(history, commit) is None else None


def reason_of_changes(
    changes: Sequence[FileChange],
    source: Sequence[FileChange],
    excluded: Callable[[bytes], str | None] = excluded_path,
) -> str | None:
    """Why a commit is no fix commit, as far as its changed files tell. `source` are those not excluded."""
    if source:
        return None
    why = {excluded(change.path) for change in changes}
    if CONFIGURED in why:
        return ONLY_CONFIGURED
    return TESTS_ONLY if "test" in why else NO_SOURCE


def alters_code(fix: FixCommit, book: FactCache) -> bool:
    """False where every changed file differs in comments and white space only."""
    return any(book.change(want).code is not False for want in fix.wants)


def touched_functions(fix: FixCommit, book: FactCache) -> list[tuple[bytes, FunctionKey]]:
    """(path, function) in the parent's version of each changed file."""
    return [(want.old_path, key) for want in fix.wants for key in book.change(want).touched]


def patch_id(fix: FixCommit, book: FactCache) -> bytes:
    """Equal for equal changes of equal files wherever they land, b"" where nothing changed (after `git patch-id`)."""
    parts = sorted((want.new_path, book.change(want).patch) for want in fix.wants)
    if not any(patch for _, patch in parts):
        return b""
    digest = hashlib.blake2b(digest_size=16)
    for path, patch in parts:
        digest.update(b"%d:%s%s" % (len(path), path, patch))
    return digest.digest()


def repeated_patches(
    history: History,
    patches: Mapping[int, bytes],
    cancelled: set[int],
    older: Callable[[int], Sequence[bytes]],
) -> set[int]:
    """Commits whose patch landed before, in a commit that stands. `older` gives patches from before the window."""
    seen: set[bytes] = set()
    repeated: set[int] = set()
    graph = history.graph
    for commit in sorted(patches, key=lambda c: (history.landing[c], graph.committed_at[c], graph.ids[c])):
        patch = patches[commit]
        if not patch or commit in cancelled:
            continue
        if patch in seen or patch in older(commit):
            repeated.add(commit)
        seen.add(patch)
    return repeated
