"""Decide which commits with evidence are fix commits, and identify what they changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.classify.messages import MessageFacts
from pipeline.classify.overlay import CONFIGURED
from pipeline.classify.paths import excluded_path
from pipeline.git.history import History, first_parent
from pipeline.git.trees import FileChange
from pipeline.label_recipe import MINER_VERSION
from pipeline.mining.diffs import FilePair, change_request
from pipeline.mining.facts.cache import FactCache
from pipeline.mining.facts.compute import PATCH_BYTES, ChangeRequest
from pipeline.mining.facts.lineage import FunctionKey
from pipeline.mining.repeats import NO_PATCH, Patch

MERGE = "merge"
TESTS_ONLY = "changes tests only"
NO_SOURCE = "changes no source file"
ONLY_CONFIGURED = "changes only paths that this repository's configuration leaves out"
ONLY_COMMENTS = "changes comments or white space only"
IGNORED_BY_BLAME = "listed in .git-blame-ignore-revs"
NO_PARENT = "first commit of the history or of a shallow clone"
NOT_READABLE = "its objects are missing or broken"


@dataclass(frozen=True)
class FixCommit:
    """A commit with fix evidence and the source files that it changed, with renames joined."""

    commit: int
    pairs: tuple[FilePair, ...]

    @property
    def requests(self) -> list[ChangeRequest]:
        return [change_request(pair, code=True) for pair in self.pairs]


def reason_by_message(history: History, commit: int, facts: MessageFacts) -> str | None:
    """Return why a commit is no fix commit, judging by its message and position, else None."""
    if len(history.graph.parents[commit]) > 1:
        return MERGE
    if facts.not_a_fix:
        return facts.not_a_fix
    return NO_PARENT if first_parent(history, commit) is None else None


def reason_by_changes(
    changes: Sequence[FileChange],
    source: Sequence[FileChange],
    excluded: Callable[[bytes], str | None] = excluded_path,
) -> str | None:
    """Return why a commit is no fix commit, judging by its changed files, else None. `source`: not excluded."""
    if source:
        return None
    reasons = {excluded(change.path) for change in changes}
    if CONFIGURED in reasons:
        return ONLY_CONFIGURED
    return TESTS_ONLY if "test" in reasons else NO_SOURCE


def alters_code(fix: FixCommit, cache: FactCache) -> bool:
    """Return whether any file changed in more than comments and white space."""
    return any(cache.change(request).code is not False for request in fix.requests)


def why_no_code(fix: FixCommit, cache: FactCache) -> str:
    """Return what a fix commit changed that alters no code of the product."""
    return TESTS_ONLY if any(cache.change(request).only_tests for request in fix.requests) else ONLY_COMMENTS


def touched_functions(fix: FixCommit, cache: FactCache) -> list[tuple[bytes, FunctionKey]]:
    """Return the touched functions as (path, function) in the parent's version."""
    return [(request.old_path, key) for request in fix.requests for key in cache.change(request).touched]


def patch_of(fix: FixCommit, cache: FactCache, version: int = MINER_VERSION) -> Patch:
    """Return ids that are equal for equal changes of equal files (after `git patch-id`)."""
    parts = sorted((request.new_path, cache.change(request).patch) for request in fix.requests)
    if not any(patch for _, patch in parts):
        return NO_PATCH
    whole, lines = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
    for path, patch in parts:
        head = b"%d:%s" % (len(path), path)
        whole.update(head + patch[:PATCH_BYTES])
        lines.update(head + patch[PATCH_BYTES:])
    return Patch(whole.digest(), lines.digest() if version >= 2 else b"")
