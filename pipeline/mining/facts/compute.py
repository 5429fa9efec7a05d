"""Compute facts of blobs and diffs: functions of a blob, functions touched by a change, lineage across one diff.

Each fact is a pure function of the objects in its key and of the label recipe. So it does not matter which process
computes it and when, and the density is the same with one process or two, cold or incremental.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.git.objects import ObjectReader
from pipeline.git.packs import ObjectProblem, ObjectTooLarge
from pipeline.git.trees import FileChange
from pipeline.label_recipe import LabelRecipe
from pipeline.mining.facts.lineage import (
    MAX_RENAME_COMPARISONS,
    Candidate,
    FunctionKey,
    Place,
    match_functions,
    match_renames,
)
from pipeline.mining.facts.siblings import match_siblings
from pipeline.mining.facts.touched import functions_touched, with_changed_code
from pipeline.syntax.damage import unread_lines
from pipeline.syntax.hunks import Hunk, diff_hunks
from pipeline.syntax.languages import Language, language_of
from pipeline.syntax.line_ends import with_line_feeds, with_single_line_feeds
from pipeline.syntax.parser import Function, ParsedFile, parse_file
from pipeline.syntax.skipped_files import skip_reason
from pipeline.syntax.tokens import code_tokens, only_comments_or_whitespace, only_tests


class FunctionsRequest(NamedTuple):
    """The functions of a blob, parsed in the language of `path`'s extension."""

    blob: bytes
    path: bytes


class ChangeRequest(NamedTuple):
    """The changes from `old` to `new`; `code`: also whether more than comments and white space changed."""

    old: bytes | None
    new: bytes | None
    old_path: bytes
    new_path: bytes
    code: bool


class RenamesRequest(NamedTuple):
    """The file renames across the diff between two trees."""

    old_tree: bytes
    new_tree: bytes
    changes: tuple[FileChange, ...]


class MovesRequest(NamedTuple):
    """The functions that moved in the diff between two trees: pairs of a vanished and a born one."""

    old_tree: bytes
    new_tree: bytes
    vanished: tuple[tuple[bytes, bytes, tuple[FunctionKey, ...]], ...]  # (blob, path, functions) of the old side
    born: tuple[tuple[bytes, bytes, tuple[FunctionKey, ...]], ...]  # of the new side


FactRequest = FunctionsRequest | ChangeRequest | RenamesRequest | MovesRequest


class FunctionsFact(NamedTuple):
    functions: tuple[Function, ...]
    refused: str  # why the file was not read as source ("too large", "minified", "too ambiguous", ...), else ""
    problem: bool = False  # the object is missing or damaged
    unread: int | None = None  # lines of code that its grammar could not read, None without a syntax error


class ChangeFact(NamedTuple):
    touched: tuple[FunctionKey, ...]  # functions of the old side
    born: tuple[FunctionKey, ...]  # only on the new side
    vanished: tuple[FunctionKey, ...]  # only on the old side
    patch: bytes  # equal for equal changes at any position, b"" for none; the first half with context, then without
    code: bool | None  # whether code of the product changed; None: not requested
    problem: bool = False
    only_tests: bool = False  # code changed, but that of tests within files only; then `code` is False
    # (new, old) of the functions that go on under another ordinal, since one of their name came, went or moved.
    renumbered: tuple[tuple[FunctionKey, FunctionKey], ...] = ()

    def before(self, key: FunctionKey) -> FunctionKey:
        """Return the old key of a function of the new side that was not born."""
        return dict(self.renumbered).get(key, key) if self.renumbered else key

    def after(self, key: FunctionKey) -> FunctionKey:
        """Return the new key of a function of the old side that did not vanish."""
        return next((new for new, old in self.renumbered if old == key), key)


class RenamesFact(NamedTuple):
    renames: dict[bytes, bytes]  # new path -> old path
    problem: bool = False


class MovesFact(NamedTuple):
    moves: dict[Place, Place]  # born -> vanished
    problem: bool = False
    unchanged: frozenset[Place] = frozenset()  # those of the vanished ones that moved with equal code


Fact = FunctionsFact | ChangeFact | RenamesFact | MovesFact

_CONTEXT_LINES = 3  # git's default
PATCH_BYTES = 12  # of each half of a patch


def key_of(function: Function) -> FunctionKey:
    return FunctionKey(function.qualified_name, function.ordinal)


@dataclass
class _Side:
    """One side of a change: its content and functions, or the reason why it has none."""

    data: bytes
    parsed: ParsedFile | None
    refused: str
    problem: bool

    @property
    def lines(self) -> bytes:
        """The content to compare by lines."""
        return with_single_line_feeds(self.data)

    @property
    def readable(self) -> bool:
        return not self.refused and not (self.parsed and self.parsed.problem)

    @property
    def functions(self) -> tuple[Function, ...]:
        return self.parsed.functions if self.parsed else ()


class FactComputer:
    """Compute facts of a repository. Keeps the last few parsed files, since requests come path by path in order."""

    def __init__(self, reader: ObjectReader, recipe: LabelRecipe, keep_parsed: int = 4) -> None:
        self._reader = reader
        self._recipe = recipe
        self._keep = keep_parsed
        self._version = recipe.miner_version
        self._parsed: OrderedDict[tuple[bytes, str], _Side] = OrderedDict()

    def compute(self, request: FactRequest) -> Fact:
        match request:
            case FunctionsRequest():
                side = self._side(request.blob, request.path)
                refused = side.refused or (side.parsed.problem if side.parsed else "")
                return FunctionsFact(side.functions, refused, side.problem, self._unread(side))
            case ChangeRequest():
                return self._change(request)
            case RenamesRequest():
                return self._renames(request.changes)
            case MovesRequest():
                return self._moves(request)

    def _unread(self, side: _Side) -> int | None:
        if self._recipe.miner_version < 2 or side.parsed is None or side.parsed.problem:
            return None
        functions = ((function.start_line, function.end_line) for function in side.functions)
        return unread_lines(side.parsed.tree, side.data, functions)

    def _change(self, request: ChangeRequest) -> ChangeFact:
        old = self._side(request.old, request.old_path)
        hunks = None
        if request.new is None:
            new = self._side(None, request.new_path)
        else:
            new, hunks = self._after(old, request)
        if old.problem or new.problem:
            return ChangeFact((), (), (), b"", None, problem=True)
        if self._version < 2:
            return self._change_by_ordinal(request, old, new, hunks)
        lines, after = old.lines, new.lines
        if hunks is None or lines is not old.data or after is not new.data:
            hunks = diff_hunks(lines, after)
        successors = match_siblings(old.parsed, new.parsed, hunks, self._recipe)
        indexes = functions_touched(old.functions, new.functions, hunks, lines, after, successors)
        if not new.readable:
            indexes = []  # what became of them is unknown
        elif old.parsed and new.parsed:
            indexes = with_changed_code(old.parsed, new.parsed, hunks, indexes, successors)
        before, now = [key_of(f) for f in old.functions], [key_of(f) for f in new.functions]
        kept = set(successors.values())
        code = self._alters_code(old, new, hunks) if request.code else None
        in_tests = bool(code) and self._only_tests(old, new, hunks)
        return ChangeFact(
            touched=tuple(before[i] for i in indexes),
            born=tuple(key for i, key in enumerate(now) if i not in kept),
            vanished=tuple(key for i, key in enumerate(before) if i not in successors),
            patch=patch_hash(lines, after, hunks),
            code=code and not in_tests,
            only_tests=in_tests,
            renumbered=tuple((now[j], before[i]) for i, j in sorted(successors.items()) if now[j] != before[i]),
        )

    def _change_by_ordinal(
        self, request: ChangeRequest, old: _Side, new: _Side, hunks: Sequence[Hunk] | None
    ) -> ChangeFact:
        """Compute the fact by the first version of the rules: identity by ordinal, touches by lines."""
        if hunks is None:
            hunks = diff_hunks(old.data, new.data)
        indexes = functions_touched(old.functions, new.functions, hunks, old.data, new.data)
        touched = [key_of(old.functions[i]) for i in indexes]
        before, after = [key_of(f) for f in old.functions], [key_of(f) for f in new.functions]
        return ChangeFact(
            touched=tuple(touched),
            born=_without(after, before),
            vanished=_without(before, after),
            patch=patch_hash(old.data, new.data, hunks),
            code=self._alters_code(old, new, hunks) if request.code else None,
        )

    def _only_tests(self, old: _Side, new: _Side, hunks: Sequence[Hunk]) -> bool:
        if old.parsed is None or new.parsed is None or old.parsed.language is not new.parsed.language:
            return False
        return only_tests(old.parsed, new.parsed, hunks)

    def _alters_code(self, old: _Side, new: _Side, hunks: Sequence[Hunk]) -> bool:
        if old.parsed is None or new.parsed is None or old.parsed.language is not new.parsed.language:
            return True
        return not only_comments_or_whitespace(old.parsed, new.parsed, hunks)

    def _after(self, old: _Side, request: ChangeRequest) -> tuple[_Side, list[Hunk] | None]:
        """Return the new side, parsed incrementally if possible, and the hunks if that needed them."""
        assert request.new is not None
        language = language_of(request.new_path)
        cached = self._cached(request.new, request.new_path)
        if cached is not None:
            return cached, None
        data, refused, problem = self._read(request.new)
        if refused or problem or language is None:
            return self._remember(request.new, request.new_path, _Side(data, None, refused, problem)), None
        hunks = diff_hunks(old.data, data)
        parsed = parse_file(language, data, old.parsed, hunks, self._recipe.miner_version)
        return self._remember(request.new, request.new_path, _Side(data, parsed, "", False)), hunks

    def _side(self, blob: bytes | None, path: bytes) -> _Side:
        if blob is None:
            return _Side(b"", None, "", False)
        cached = self._cached(blob, path)
        if cached is not None:
            return cached
        data, refused, problem = self._read(blob)
        language = language_of(path)
        parsed = None if refused or problem or language is None else self._parse(language, data)
        return self._remember(blob, path, _Side(data, parsed, refused, problem))

    def _parse(self, language: Language, data: bytes) -> ParsedFile:
        return parse_file(language, data, version=self._recipe.miner_version)

    def _read(self, blob: bytes) -> tuple[bytes, str, bool]:
        """Return (content, reason not to read it as source, whether it is missing or damaged)."""
        try:
            data = self._reader.blob(blob, self._recipe.most_file_bytes)
        except ObjectTooLarge:
            return b"", "too large", False
        except ObjectProblem:
            return b"", "", True
        if self._version >= 2:
            data = with_line_feeds(data)
        refused = skip_reason(data, self._recipe.miner_version)
        return (b"" if refused else data), refused or "", False

    def _cached(self, blob: bytes, path: bytes) -> _Side | None:
        key = (blob, path.rpartition(b".")[2].decode("latin-1"))
        side = self._parsed.get(key)
        if side is not None:
            self._parsed.move_to_end(key)
        return side

    def _remember(self, blob: bytes, path: bytes, side: _Side) -> _Side:
        self._parsed[blob, path.rpartition(b".")[2].decode("latin-1")] = side
        if len(self._parsed) > self._keep:
            self._parsed.popitem(last=False)
        return side

    def _moves(self, request: MovesRequest) -> MovesFact:
        vanished, problem_old = self._all_candidates(request.vanished)
        born, problem_new = self._all_candidates(request.born)
        moves = match_functions(vanished, born, self._recipe)
        unchanged: frozenset[Place] = frozenset()
        if self._version >= 2:
            tokens = {candidate.place: candidate.tokens for candidate in (*vanished, *born)}
            unchanged = frozenset(old for new, old in moves.items() if tokens[old] == tokens[new])
        return MovesFact(moves, problem_old or problem_new, unchanged)

    def _all_candidates(
        self, entries: Iterable[tuple[bytes, bytes, Sequence[FunctionKey]]]
    ) -> tuple[list[Candidate], bool]:
        candidates: list[Candidate] = []
        problem = False
        for blob, path, keys in entries:
            side = self._side(blob, path)
            problem = problem or side.problem
            candidates.extend(_candidates(path, side, set(keys)))
        return candidates, problem

    def _renames(self, changes: Sequence[FileChange]) -> RenamesFact:
        deleted = {c.path: c.old for c in changes if c.new is None and c.old is not None}
        added = {c.path: c.new for c in changes if c.old is None and c.new is not None}
        exact = match_renames(_ids_only(deleted), _ids_only(added), self._recipe)
        moved_away = set(exact.values())
        removed = {p: b for p, b in deleted.items() if p not in moved_away}
        created = {p: b for p, b in added.items() if p not in exact}
        if len(removed) * len(created) > MAX_RENAME_COMPARISONS:
            return RenamesFact(exact)
        old, problem_old = self._contents(removed)
        new, problem_new = self._contents(created)
        return RenamesFact(exact | match_renames(old, new, self._recipe), problem_old or problem_new)

    def _contents(self, blobs: Mapping[bytes, bytes]) -> tuple[dict[bytes, tuple[bytes, bytes | None]], bool]:
        contents: dict[bytes, tuple[bytes, bytes | None]] = {}
        problems = False
        for path, blob in blobs.items():
            data, refused, problem = self._read(blob)
            problems = problems or problem
            contents[path] = (blob, None if refused or problem else data)
        return contents, problems


def _ids_only(blobs: Mapping[bytes, bytes]) -> dict[bytes, tuple[bytes, bytes | None]]:
    return {path: (blob, None) for path, blob in blobs.items()}


def _without(keys: Sequence[FunctionKey], others: Iterable[FunctionKey]) -> tuple[FunctionKey, ...]:
    known = set(others)
    return tuple(key for key in keys if key not in known)


def _candidates(path: bytes, side: _Side, keys: set[FunctionKey]) -> Iterable[Candidate]:
    if side.parsed is None:
        return
    for function in side.functions:
        if key_of(function) in keys:
            tokens = code_tokens(side.parsed, function.start_line, function.end_line)
            yield Candidate((path, key_of(function)), tuple(tokens))


def patch_hash(old: bytes, new: bytes, hunks: Sequence[Hunk]) -> bytes:
    """Hash the removed and added lines, without white space and positions: with three lines of context, then without.

    As `git patch-id`. Without context, equal one-line edits of different functions are the same patch, so that half
    alone proves nothing.
    """
    if not hunks:
        return b""
    whole, lines = hashlib.blake2b(digest_size=PATCH_BYTES), hashlib.blake2b(digest_size=PATCH_BYTES)
    for hunk in hunks:
        removed, added = old[hunk.old_byte : hunk.old_byte_end], new[hunk.new_byte : hunk.new_byte_end]
        changed = b"-" + _squeezed(removed) + b"+" + _squeezed(added)
        whole.update(b" " + _squeezed(old[_lines_back(old, hunk.old_byte) : hunk.old_byte]))
        whole.update(changed)
        whole.update(b" " + _squeezed(old[hunk.old_byte_end : _lines_on(old, hunk.old_byte_end)]))
        lines.update(changed)
    return whole.digest() + lines.digest()


def _squeezed(data: bytes) -> bytes:
    return b"".join(data.split())


def _lines_back(data: bytes, position: int) -> int:
    """Return the start of the third line before the line that starts at `position`."""
    for _ in range(_CONTEXT_LINES):
        position = data.rfind(b"\n", 0, max(0, position - 1)) + 1
    return position


def _lines_on(data: bytes, position: int) -> int:
    """Return the end of the third line, counting from the line that starts at `position`."""
    for _ in range(_CONTEXT_LINES):
        end = data.find(b"\n", position)
        if end < 0:
            return len(data)
        position = end + 1
    return position
