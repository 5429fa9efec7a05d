"""Stop a parse whose stack is deep and ambiguous before it reaches the end of the text.

At the end of a text with errors the parser lists the paths through its stack, a graph. Their number and length grow
with the open constructs: 6 KB of `/*` lines took 1.4 GB, and nothing that the progress callback is told gives it away.
What does is the graph itself, which the parser prints for debugging: it is printed for one token in every 4 KB and once
shortly before the end, which takes some 60 microseconds each.

Measured on 5,500 files of nine public repositories, with and without errors: at most 210 links.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from io import FileIO

import tree_sitter

from pipeline.syntax.limits import CHUNK_BYTES, FREE_STEPS, BoundedText

# A shorter text, or fewer steps, leave no room for a stack that hurts.
SHORTEST_PROBED_BYTES = 1_024
FEWEST_STEPS = 800
BYTES_BETWEEN_PROBES = 4_096
# Printing takes the square of what the stack has grown by: the parser is stopped twice as often in text that takes it
# more steps per byte than real code does.
DENSE_BYTES_BETWEEN_PROBES = 2_048
DENSE_STEPS = 3_300
LAST_PROBE_BYTES = 256  # before the end
# A probe ends without a result after so many bytes, as in a long comment, and is repeated some bytes later. After too
# many of these it lasts until the parser has printed its stack.
PROBE_READS = 16
BYTES_TO_NEXT_TRY = 192
MAX_TRIES = 8
ENDURING_CHUNK_BYTES = 512
MAX_LINKS = 1_000
MIN_FORKS = 16
# A stack without alternatives takes little memory, but printing it takes the square of its length.
MAX_PLAIN_LINKS = 5_000
# What the parser reads after it is to stop, so that it takes the steps to its next callback and never meets the end.
_FILLER = b";\n" * 512
_MAX_FILLERS = 256

_STACK = b"digraph stack"
_STACK_END = b"\n}\n"
_CODE_LINE = re.compile(rb"\n[ \t]{0,200}(?=[A-Za-z_{}()$])")
_TOKEN = re.compile(rb"\w{0,32}[ \t\n]{0,32}.?", re.DOTALL)
_LINK = re.compile(rb"^(node_0x[0-9a-f]{1,20}) -> ", re.MULTILINE)


class ProbedText(BoundedText):
    """The text of a parse, read by a parser whose stack is looked at in between."""

    __slots__ = ("_fillers", "_next", "_parser", "_printed", "_probe_reads", "_probed", "_tries", "_whole", "problem")

    def __init__(self, data: bytes, parser: tree_sitter.Parser) -> None:
        super().__init__(data)
        self._whole = -CHUNK_BYTES  # start of the chunk that would be read without probes, which alone is counted
        self._parser = parser
        self._printed: FileIO | None = None  # where the parser prints its stack, during a probe
        self._next = self._probe_after(0) if len(data) >= SHORTEST_PROBED_BYTES else len(data)
        self._probe_reads = 0
        self._probed = (0, 0)  # byte and steps at the last probe
        self._tries = 0
        self._fillers = 0
        self.problem = ""  # of the stack

    def read(self, at: int, point: object) -> memoryview:
        """Return a chunk that ends where the next probe begins; word by word during a probe."""
        if self._printed is not None:
            self._look(at)
        if self.problem:
            return self._filler()
        if self._printed is None and self._next <= at < len(self.text):
            self._next = self._probe_after(at)
            if self._is_due(at):
                self._begin(at)
        if not self._whole <= at < self._whole + CHUNK_BYTES:
            self._whole = at
            self.reads_left -= 1
        return self.chunk(at, min(self._size(at), self._whole + CHUNK_BYTES - at))

    def _size(self, at: int) -> int:
        if self._printed is None:
            return self._next - at if at < self._next else CHUNK_BYTES
        if self._tries < MAX_TRIES:
            token = _TOKEN.match(self.text, at)
            return token.end() - at if token else 1
        return ENDURING_CHUNK_BYTES

    def _probe_after(self, at: int) -> int:
        """Return where the next probe begins: if possible at the start of a line that is no comment."""
        size = len(self.text)
        regular = (at // DENSE_BYTES_BETWEEN_PROBES + 1) * DENSE_BYTES_BETWEEN_PROBES
        found = _CODE_LINE.search(self.text, regular, regular + BYTES_TO_NEXT_TRY)
        last = size - LAST_PROBE_BYTES
        return min(found.end() if found else regular, last if at < last else size)

    def _is_due(self, at: int) -> bool:
        if self._tries:
            return True
        steps, size = self.steps + FREE_STEPS - self._probed[1], at - self._probed[0]
        long_ago = size > BYTES_BETWEEN_PROBES - DENSE_BYTES_BETWEEN_PROBES // 2 or steps >= DENSE_STEPS
        return steps >= FEWEST_STEPS and (long_ago or at >= len(self.text) - LAST_PROBE_BYTES)

    def _begin(self, at: int) -> None:
        self._printed = _memory_file()
        self._parser.print_dot_graphs(self._printed)
        self._probe_reads = 0
        self._probed = at, self.steps + FREE_STEPS

    def _look(self, at: int) -> None:
        """End the probe if a stack has been printed, if the text ends, and if it has taken too long."""
        assert self._printed is not None
        printed = os.pread(self._printed.fileno(), os.fstat(self._printed.fileno()).st_size, 0)
        start = printed.find(_STACK)
        self._probe_reads += 1
        if start >= 0:
            self.problem = depth_problem(printed[start : printed.find(_STACK_END, start)])
            self._tries = 0
            self._end()
        elif at >= len(self.text):
            self._end()
        elif self._probe_reads >= PROBE_READS and self._tries < MAX_TRIES:
            self._tries += 1
            self._next = min(self._next, at + BYTES_TO_NEXT_TRY)
            self._end()

    def _end(self) -> None:
        if self._printed is not None:
            self._parser.print_dot_graphs(None)
            self._printed.close()
            self._printed = None

    def _filler(self) -> memoryview:
        self._fillers += 1
        chunk = memoryview(_FILLER if self._fillers <= _MAX_FILLERS else b"")
        self.chunks.append(chunk)
        return chunk

    def release(self) -> None:
        self._end()
        super().release()

    def is_spent(self, at: int, has_error: bool) -> bool:
        return bool(self.problem) or super().is_spent(at, has_error)


def _memory_file() -> FileIO:
    if hasattr(os, "memfd_create"):
        return FileIO(os.memfd_create("stack"), "r+")
    with tempfile.TemporaryFile() as file:
        return FileIO(os.dup(file.fileno()), "r+")


def depth_problem(graph: bytes) -> str:
    """Return why a parse with this printed stack must not go on, or "": its end would be costly."""
    if graph.count(b" -> ") <= MAX_LINKS:
        return ""
    nodes = _LINK.findall(graph)
    forks = sum(links > 1 for links in Counter(nodes).values())
    if len(nodes) > MAX_LINKS and forks >= MIN_FORKS:
        return "too ambiguous"
    return "too deep or wide" if len(nodes) > MAX_PLAIN_LINKS else ""
