"""Recognise fix commits that repeat a change which landed before: cherry-picks, backports, merges back. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.classify.messages import MessageFacts, subject_key
from pipeline.git.history import History
from pipeline.mining.commit_ids import CommitIds

# A shorter subject ("Fix bug") is no reason to take equal lines in other surroundings for the same change.
_SHORTEST_SUBJECT = 12

_Key = tuple[str, object]


class Patch(NamedTuple):
    """Ids of what a commit changed; empty if nothing changed. Version 1 knows no `lines`."""

    whole: bytes  # the changed lines with their surroundings
    lines: bytes  # the changed lines alone: equal also where a backport found other surroundings


NO_PATCH = Patch(b"", b"")


def find_repeats(
    history: History,
    patches: Mapping[int, Patch],
    messages: Mapping[int, MessageFacts],
    cancelled: set[int],
    older: Callable[[int], Sequence[Patch]],
) -> set[int]:
    """Return the commits whose change landed earlier and was not reverted.

    The same change is: an equal patch; equal lines by the same author and author time, or under the same subject; or
    what the message says it was picked from. `older`: patches of the same author and author time from before the
    window.
    """
    graph = history.graph
    seen: set[_Key] = set()
    repeats: set[int] = set()
    ids = CommitIds(history, (sha for commit in patches for sha in messages[commit].origin.picked))
    for commit in sorted(patches, key=lambda c: (history.landing[c], graph.committed_at[c], graph.ids[c])):
        patch, facts = patches[commit], messages[commit]
        if not patch.whole or commit in cancelled:
            continue
        origins = [found for sha in facts.origin.picked for found in ids.find(sha)]
        keys = {*_patch_keys(patch, graph.author_key[commit], facts), *_picked_keys(history, commit, origins, facts)}
        earlier = {key for old in older(commit) for key in _patch_keys(old, graph.author_key[commit], None)}
        landed = any(history.landing[o] < history.landing[commit] and o not in cancelled for o in origins)
        if landed or not keys.isdisjoint(seen) or not keys.isdisjoint(earlier):
            repeats.add(commit)
        seen |= keys
        if facts.origin.pull is not None:
            seen.add(("pull", facts.origin.pull))
    return repeats


def _patch_keys(patch: Patch, author: int, facts: MessageFacts | None) -> Iterable[_Key]:
    if patch.whole:
        yield "patch", patch.whole
    if patch.lines:
        yield "author", (author, patch.lines)
        subject = subject_key(facts.subject) if facts else ""
        if len(subject) >= _SHORTEST_SUBJECT:
            yield "subject", (subject, patch.lines)


def _picked_keys(history: History, commit: int, origins: Sequence[int], facts: MessageFacts) -> Iterable[_Key]:
    """Yield the ids and pull requests of a change, also those of originals that were never merged here."""
    yield "id", history.graph.ids[commit].hex()
    for origin in origins:
        yield "id", history.graph.ids[origin].hex()
    for sha in facts.origin.picked:
        yield "id", sha
    for number in facts.origin.picked_pulls:
        yield "pull", number
