"""A small file made to hurt the parser is refused within bounded memory, and ordinary code never is."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from pipeline.syntax.grammars import parser
from pipeline.syntax.languages import LANGUAGES, Language, language_of
from pipeline.syntax.parser import parse_file
from pipeline.syntax.stack_probe import MAX_LINKS, MAX_PLAIN_LINKS, MIN_FORKS, depth_problem
from tests.pipeline.syntax.sources import GOLDEN
from tests.rows import each_row

KB = 1_000
MIB = 1 << 20
MORE_MEMORY = 200 * MIB
BY_NAME = {language.name: language for language in LANGUAGES}

# Repeated, each of them took 0.3 to 100 GB per 60 KB.
HOSTILE = {
    "Python /*": ("Python", b"/*\n"),
    "Python enum /*": ("Python", b"enum /*"),
    "TypeScript new ->": ("TypeScript", b"new ->\n"),
    "TSX return [|x|": ("TSX", b"return [|x|"),
    "JavaScript [| impl": ("JavaScript", b"[| impl\n"),
    "Rust ;[>": ("Rust", b";\n[>"),
    "Rust +return [": ("Rust", b"+return ["),
    "C# <else": ("C#", b"<else "),
    "C# [| impl": ("C#", b"[| impl\n"),
    "Java (? with": ("Java", b"(? with "),
    "Kotlin * /*": ("Kotlin", b"* /*\n"),
    "Go > (?": ("Go", b"> (?\n"),
}


def parse_in_child(language: Language, data: bytes) -> str:
    """Return the problem of the parsed file, "died" if the child needed more memory than it may take."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        pytest.skip("the memory of a process can be bounded on Linux only")
    parse_file(language, b"")
    read, write = os.pipe()
    child = os.fork()
    if not child:
        taken = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MORE_MEMORY,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.write(write, (parse_file(language, data).problem or "none").encode())
        os._exit(0)
    os.close(write)
    _, status = os.waitpid(child, 0)
    answer = os.read(read, 100).decode()
    os.close(read)
    return answer if not status else "died"


@each_row("kind", HOSTILE)
def test_a_file_made_to_take_gigabytes_is_refused(kind: str) -> None:
    name, unit = HOSTILE[kind]
    assert parse_in_child(BY_NAME[name], unit * (60 * KB // len(unit))) in ("too ambiguous", "too deep or wide")


@each_row("size", [KB, 3 * KB, 6 * KB, 12 * KB])
def test_a_shorter_one_is_refused_or_takes_little_memory(size: int) -> None:
    assert parse_in_child(BY_NAME["Python"], b"/*\n" * (size // 3)) in ("too ambiguous", "none")


@each_row(
    "before", [b"x = 1\n" * 1_000, b"# " + b"word " * 1_000 + b"\n", b"def f(x):\n    y = x\n    return y\n" * 700]
)
def test_what_stands_before_the_hostile_lines_does_not_hide_them(before: bytes) -> None:
    assert parse_in_child(BY_NAME["Python"], before + b"/*\n" * 12_000) == "too ambiguous"


def test_comments_where_the_stack_is_looked_at_do_not_hide_the_hostile_lines() -> None:
    commented = b"/*\n" * 300 + b"# " + b"word " * 100 + b"\n"
    assert parse_in_child(BY_NAME["Python"], commented * 40) == "too ambiguous"


@each_row("path", GOLDEN)
def test_ordinary_code_is_parsed_as_without_a_probe(path: str) -> None:
    language = language_of(path.encode())
    assert language is not None
    data = GOLDEN[path][0].encode() * 30
    parsed = parse_file(language, data)
    plain = parser(parsed.language).parse(data)
    assert parsed.problem == ""
    assert (parsed.tree.root_node.descendant_count, parsed.tree.root_node.has_error) == (
        plain.root_node.descendant_count,
        plain.root_node.has_error,
    )


def test_code_between_long_comments_is_parsed() -> None:
    data = b"".join(b"# %s\ndef f%d():\n    a = 1\n    return a\n" % (b"word " * 2_000, number) for number in range(20))
    assert len(parse_file(BY_NAME["Python"], data).functions) == 20


def graph(links: int, forks: int) -> bytes:
    lines = [b"node_0x%x -> node_0x%x [label=1]" % (number, number + 1) for number in range(links - forks)]
    lines += [b"node_0x%x -> node_0x%x [label=2]" % (number, number + 2) for number in range(forks)]
    return b"digraph stack {\n" + b"\n".join(lines)


def test_only_a_deep_stack_with_alternatives_or_a_very_deep_one_is_a_problem() -> None:
    assert depth_problem(graph(MAX_LINKS, MIN_FORKS)) == ""
    assert depth_problem(graph(MAX_LINKS + 1, MIN_FORKS - 1)) == ""
    assert depth_problem(graph(MAX_LINKS + 1, MIN_FORKS)) == "too ambiguous"
    assert depth_problem(graph(MAX_PLAIN_LINKS + 1, 0)) == "too deep or wide"
