"""Functions of source files as parsers outside of Assay see them: Python's `ast`, and Universal Ctags for the rest.

Ctags 5.9 does not tell where a function of Rust, PHP, Kotlin or TypeScript ends: there its braces are counted.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

# The kinds of Universal Ctags 5.9 that are functions with a body.
_KINDS: Mapping[str, frozenset[str]] = {
    "C": frozenset({"function"}),
    "C++": frozenset({"function"}),
    "C#": frozenset({"method"}),
    "Go": frozenset({"func"}),
    "Java": frozenset({"method"}),
    "JavaScript": frozenset({"function", "method", "generator", "getter", "setter"}),
    "Kotlin": frozenset({"method"}),
    "PHP": frozenset({"function"}),
    "Ruby": frozenset({"method", "singletonMethod"}),
    "Rust": frozenset({"function", "method"}),
    "TypeScript": frozenset({"function", "method", "generator"}),
}


class Seen(NamedTuple):
    """A function of at least three lines."""

    name: str  # unqualified
    line: int  # of its name, from 1
    end_line: int


def ctags_languages() -> frozenset[str]:
    """Return the languages in which Universal Ctags tells where a function ends; none where it is not installed."""
    return frozenset(_KINDS) if shutil.which("ctags") else frozenset()


def python_functions(source: bytes) -> list[Seen]:
    """Return the functions of a Python file. Raises SyntaxError, and ValueError for null bytes."""
    return [
        Seen(node.name, node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - _first(node) >= 2
    ]


def _first(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def ctags_functions(files: Mapping[str, bytes], language: str) -> dict[str, list[Seen]]:
    """Return the functions of files of one language, by path. Paths are used for their endings alone."""
    with tempfile.TemporaryDirectory() as folder:
        names = {}
        for number, (path, source) in enumerate(files.items()):
            file = Path(folder) / f"{number}{Path(path).suffix.lower()}"
            file.write_bytes(source)
            names[str(file)] = path
        command = ["ctags", "--options=NONE", "--output-format=json", "--fields=+ne", "-f", "-", "-L", "-"]
        command += [f"--language-force={language}"]
        tags = subprocess.run(command, input="\n".join(names).encode(), stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, list[Seen]] = {path: [] for path in files}
    for tag in map(json.loads, tags.splitlines()):
        path = names[tag["path"]]
        end_line = tag.get("end") or end_by_braces(files[path], tag["line"])
        if tag.get("kind") in _KINDS[language] and end_line - tag["line"] >= 2:
            found[path].append(Seen(tag["name"].rpartition("::")[2], tag["line"], end_line))
    return found


def end_by_braces(source: bytes, line: int) -> int:
    """Return the line of the brace that closes the first one from `line` on; 0 if a `;` comes first or none closes."""
    depth, at = 0, line
    for text in source.split(b"\n")[line - 1 :]:
        for brace in re.finditer(rb"[{};]", text):
            if brace[0] == b";" and not depth:
                return 0
            depth += {b"{": 1, b"}": -1}.get(brace[0], 0)
            if brace[0] == b"}" and depth <= 0:
                return at
        at += 1
    return 0
