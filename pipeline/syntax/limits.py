"""Limit the cost of a parse, in steps, reads and nodes rather than seconds, so that every machine decides alike.

Measured on 6,300 files of fifteen public repositories: real code takes 0.7 to 1.4 parser steps per byte, and only one
file (in another encoding) ever exceeded three per byte read. Deliberately ambiguous text takes 4 to 12, and memory that
grows with the square of its length.
"""

from __future__ import annotations

import tree_sitter

STEPS_PER_BYTE = 3
FREE_STEPS = 5_000
# Steps taken while every parse of the text has errors: at most 0.16 per byte in real files (of another dialect).
FREE_ERROR_STEPS = 10_000
BYTES_PER_ERROR_STEP = 2
# tree-sitter calls back after this many steps.
STEPS_PER_CALL = 100
# An error-free parse of real code takes 2 to 4 steps per node of its tree, a parse of brackets only 6.
STEPS_PER_NODE = 6

# A lexer with a long lookahead at every token rereads its text; in real files at most 12 times.
CHUNK_BYTES = 4_096
FREE_READS = 256
READS_PER_CHUNK = 16

# A query over a smaller tree takes about 0.2 s at most, whatever its shape.
SMALL_TREE_NODES = 20_000
_SAMPLES = 64
_MIN_NODES_BETWEEN_SAMPLES = 2_000
MAX_TREE_DEPTH = 5_000
MAX_UNNAMED_RUN = 5_000


class BoundedText:
    """The text of a parse, and the callback that stops the parser when it exceeds its limits."""

    __slots__ = ("chunks", "error_steps", "reads_left", "steps", "text")

    def __init__(self, data: bytes) -> None:
        self.text = memoryview(data)
        self.chunks: list[memoryview] = []
        self.reads_left = FREE_READS + READS_PER_CHUNK * (len(data) // CHUNK_BYTES)
        self.steps = -FREE_STEPS
        self.error_steps = -FREE_ERROR_STEPS

    def read(self, at: int, _point: object) -> memoryview:
        """Return the chunk at a byte, or nothing after too many reads."""
        self.reads_left -= 1
        return self.chunk(at, CHUNK_BYTES)

    def chunk(self, at: int, size: int) -> memoryview:
        """Return up to `size` bytes from a byte on, or nothing after too many reads."""
        chunk = self.text[at : at + size] if self.reads_left >= 0 else self.text[:0]
        self.chunks.append(chunk)
        return chunk

    def release(self) -> None:
        """Release the memory views: the parser never frees what it has read (py-tree-sitter 0.26).

        Otherwise every parse leaks a copy of its file, a gigabyte in a long history.
        """
        for chunk in self.chunks:
            chunk.release()
        self.text.release()

    def is_spent(self, at: int, has_error: bool) -> bool:
        """Return whether to stop. Called every STEPS_PER_CALL steps with the byte reached."""
        self.steps += STEPS_PER_CALL
        if has_error:
            self.error_steps += STEPS_PER_CALL
        return self.reads_left < 0 or self.steps > STEPS_PER_BYTE * at or self.error_steps * BYTES_PER_ERROR_STEP > at


def is_dense(tree: tree_sitter.Tree, size_bytes: int) -> bool:
    """Return whether a full parse that results in this error-free tree could run out of steps."""
    return tree.root_node.descendant_count * STEPS_PER_NODE > FREE_STEPS + STEPS_PER_BYTE * size_bytes


def is_unwieldy(tree: tree_sitter.Tree) -> bool:
    """Return whether a query over the tree could take quadratic time: too deep, or too many adjacent unnamed nodes.

    A large tree is sampled at 64 nodes or every 2,000 nodes: anything between two samples is too small to matter.
    """
    nodes = tree.root_node.descendant_count
    if nodes <= SMALL_TREE_NODES:
        return False
    step = max(nodes // _SAMPLES, _MIN_NODES_BETWEEN_SAMPLES)
    cursor = tree.walk()
    visited: set[int] = set()
    for index in range(step, nodes, step):
        cursor.goto_descendant(index)
        if cursor.depth > MAX_TREE_DEPTH:
            return True
        while cursor.goto_parent():
            node = cursor.node
            if node is None or node.id in visited:
                break
            visited.add(node.id)
            if node.child_count - node.named_child_count > MAX_UNNAMED_RUN and _has_long_run(node):
                return True
    return False


def _has_long_run(node: tree_sitter.Node) -> bool:
    run = 0
    for child in node.children:
        run = 0 if child.is_named else run + 1
        if run > MAX_UNNAMED_RUN:
            return True
    return False
