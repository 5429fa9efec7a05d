"""Limits on what a parse may cost, counted in steps, reads and nodes and never in seconds: every machine decides alike.

Measured on 6,300 files of fifteen public repositories: real code takes 0.7 to 1.4 parser steps a byte and one file (in
another encoding) was ever ahead of three a byte read. Text made to be ambiguous takes 4 to 12, and memory with the
square of its length.
"""

from __future__ import annotations

import tree_sitter

STEPS_PER_BYTE = 3
FREE_STEPS = 5_000
# Steps taken while no reading of the text is free of errors: at most 0.16 a byte in real files (of another dialect).
FREE_ERROR_STEPS = 10_000
BYTES_PER_ERROR_STEP = 2
# tree-sitter reports progress once in so many steps.
STEPS_PER_CALL = 100
# An error-free parse of real code takes 2 to 4 steps per node of its tree, one of nothing but brackets 6.
STEPS_PER_NODE = 6

# A lexer that looks far ahead at every token reads its text again and again; real files read theirs 12 times at most.
CHUNK_BYTES = 4_096
FREE_READS = 256
READS_PER_CHUNK = 16

# Smaller trees cost a query at most some 0.2 s, whatever their shape.
SMALL_TREE_NODES = 20_000
_SAMPLES = 64
_FEWEST_NODES_BETWEEN_SAMPLES = 2_000
DEEPEST_TREE = 5_000
LONGEST_UNNAMED_RUN = 5_000


class BoundedText:
    """A text as the parser reads it, and the callback that stops the parser when it has read or worked too much."""

    __slots__ = ("chunks", "error_steps", "reads_left", "steps", "text")

    def __init__(self, data: bytes) -> None:
        self.text = memoryview(data)
        self.chunks: list[memoryview] = []
        self.reads_left = FREE_READS + READS_PER_CHUNK * (len(data) // CHUNK_BYTES)
        self.steps = -FREE_STEPS
        self.error_steps = -FREE_ERROR_STEPS

    def read(self, at: int, _point: object) -> memoryview:
        """The chunk at a byte; nothing more once there were too many."""
        self.reads_left -= 1
        chunk = self.text[at : at + CHUNK_BYTES] if self.reads_left >= 0 else self.text[:0]
        self.chunks.append(chunk)
        return chunk

    def release(self) -> None:
        """Let go of the text: the parser never gives back what it read, and a released view holds on to nothing.

        Without this every parse loses a copy of its file (py-tree-sitter 0.26), a gigabyte in a long history.
        """
        for chunk in self.chunks:
            chunk.release()
        self.text.release()

    def is_spent(self, at: int, has_error: bool) -> bool:
        """Whether to stop: called once in STEPS_PER_CALL steps with the byte reached."""
        self.steps += STEPS_PER_CALL
        if has_error:
            self.error_steps += STEPS_PER_CALL
        return self.reads_left < 0 or self.steps > STEPS_PER_BYTE * at or self.error_steps * BYTES_PER_ERROR_STEP > at


def is_dense(tree: tree_sitter.Tree, size_bytes: int) -> bool:
    """Whether a full parse that gives this error-free tree could run out of steps."""
    return tree.root_node.descendant_count * STEPS_PER_NODE > FREE_STEPS + STEPS_PER_BYTE * size_bytes


def is_unwieldy(tree: tree_sitter.Tree) -> bool:
    """Whether a query over the tree could take quadratic time: very deep, or thousands of unnamed nodes side by side.

    A large tree is sampled at 64 nodes or every 2,000 nodes: what falls between two samples is too small to matter.
    """
    nodes = tree.root_node.descendant_count
    if nodes <= SMALL_TREE_NODES:
        return False
    step = max(nodes // _SAMPLES, _FEWEST_NODES_BETWEEN_SAMPLES)
    cursor = tree.walk()
    seen: set[int] = set()
    for index in range(step, nodes, step):
        cursor.goto_descendant(index)
        if cursor.depth > DEEPEST_TREE:
            return True
        while cursor.goto_parent():
            node = cursor.node
            if node is None or node.id in seen:
                break
            seen.add(node.id)
            if node.child_count - node.named_child_count > LONGEST_UNNAMED_RUN and _has_long_run(node):
                return True
    return False


def _has_long_run(node: tree_sitter.Node) -> bool:
    run = 0
    for child in node.children:
        run = 0 if child.is_named else run + 1
        if run > LONGEST_UNNAMED_RUN:
            return True
    return False
