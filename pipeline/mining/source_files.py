"""Count the files of a tree: what is read, what its path leaves out, and which languages are not mined."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

from pipeline.label_recipe import MINER_VERSION
from pipeline.records import ExcludedFolder, Obstacle, SourceFiles, printable
from pipeline.syntax.languages import LANGUAGES, language_of

LARGEST_FOLDERS: Final = 3
_MISSING_SHARE: Final = 100  # of the files read, one in as many
_NAMED_ENDINGS: Final = 3
_WORD = re.compile(rb"[A-Za-z][A-Za-z0-9_+-]{0,15}")
TOP: Final = "./"

# Languages without a grammar here, by the ending of their files; for a sentence, not for mining.
_UNREAD: Final = {
    ending: language
    for language, endings in (
        ("Swift", "swift"), ("Objective-C or MATLAB", "m"), ("Objective-C++", "mm"),
        ("Elixir", "ex exs"), ("Erlang", "erl hrl"), ("Haskell", "hs lhs"),
        ("Scala", "scala sc"), ("Clojure", "clj cljs cljc"), ("Dart", "dart"), ("Lua", "lua"), ("R", "r"),
        ("Julia", "jl"), ("Perl", "pl pm"), ("Shell", "sh bash zsh fish"), ("PowerShell", "ps1 psm1"), ("Zig", "zig"),
        ("Nim", "nim"), ("OCaml", "ml mli"), ("F#", "fs fsx fsi"), ("Visual Basic", "vb bas"), ("Groovy", "groovy"),
        ("Fortran", "f f77 f90 f95 f03 f08 for"), ("Solidity", "sol"), ("Verilog", "v sv svh"), ("VHDL", "vhd vhdl"),
        ("Vue", "vue"), ("Svelte", "svelte"), ("Astro", "astro"), ("SQL", "sql"), ("Terraform", "tf"), ("Nix", "nix"),
        ("Crystal", "cr"), ("D", "d"), ("Pascal", "pas pp dpr"), ("COBOL", "cob cbl cpy"), ("Ada", "adb ads"),
        ("Assembly", "asm s"), ("Common Lisp", "lisp lsp cl"), ("Emacs Lisp", "el"), ("Scheme", "scm ss rkt"),
        ("Tcl", "tcl"), ("CUDA", "cu cuh"), ("GLSL", "glsl vert frag"), ("HLSL", "hlsl"), ("Elm", "elm"),
        ("PureScript", "purs"), ("ReScript", "res resi"), ("Reason", "re rei"), ("CoffeeScript", "coffee"),
        ("GDScript", "gd"), ("Apex", "cls apex"), ("ABAP", "abap"), ("MATLAB", "mat mlx"), ("Jupyter", "ipynb"),
        ("Prolog", "pro"), ("Gleam", "gleam"), ("Haxe", "hx"), ("Vala", "vala vapi"), ("Mojo", "mojo"),
        ("Odin", "odin"),
        ("Cairo", "cairo"), ("Move", "move"), ("Hack", "hack hh"), ("Raku", "raku rakumod p6"), ("Smalltalk", "st"),
        ("Web pages", "html htm"), ("Style sheets", "css scss less sass"),
    )
    for ending in endings.split()
}  # fmt: skip
_MARKUP: Final = frozenset(["Web pages", "Style sheets"])  # named only where there is nothing else
# Endings of files that are not code.
_DATA: Final = frozenset(
    ending
    for endings in (
        "md markdown rst txt adoc json jsonc json5 yml yaml toml ini cfg conf xml csv tsv lock log properties plist",
        "png jpg jpeg gif svg ico webp bmp psd ai sketch fig mp3 mp4 wav ogg mov avi woff woff2 ttf otf eot pdf",
        "tex bib doc docx xls xlsx ppt pptx zip gz tar bz2 xz jar war class so dll exe bin dat db ipa apk map snap",
        "pem crt key xib storyboard strings po pot mo resx csproj sln vcxproj pbxproj gitignore license editorconfig",
    )
    for ending in endings.split()
)
_MOST_ENDINGS: Final = 5


def count_source_files(
    paths: Iterable[bytes], excluded: Callable[[bytes], str | None], version: int = MINER_VERSION
) -> SourceFiles:
    """Count the files of a tree by what the rules for paths say of them."""
    folder_of = _cause(excluded)
    read, reasons, unread = 0, Counter[str](), Counter[str]()
    folders = defaultdict[bytes, Counter[str]](Counter)
    for path in paths:
        if language_of(path, version) is None:
            ending = _ending(path)
            if ending and ending not in _DATA and excluded(path) is None:
                unread["." + ending] += 1
            continue
        reason = excluded(path)
        if reason is None:
            read += 1
            continue
        reasons[reason] += 1
        folders[folder_of(path)][reason] += 1
    largest = sorted(folders.items(), key=lambda item: (-item[1].total(), item[0]))[:LARGEST_FOLDERS]
    return SourceFiles(
        read=read,
        excluded=tuple(_most_first(reasons)),
        folders=tuple(
            ExcludedFolder(printable(path) or TOP, _most_first(counts)[0][0], counts.total())
            for path, counts in largest
        ),
        unread=tuple(_most_first(unread)[:_MOST_ENDINGS]),
    )


def _ending(path: bytes) -> str:
    """Return the ending of a file's name in lower case, empty if it has none that is a word."""
    stem, dot, ending = path.rpartition(b"/")[2].rpartition(b".")
    return ending.decode().lower() if dot and stem and _WORD.fullmatch(ending) else ""


def _language(ending: str) -> str:
    return _UNREAD.get(ending.removeprefix("."), ending)


def _code(files: SourceFiles) -> list[tuple[str, int]]:
    """Return the endings that are not read, markup only where there is nothing else."""
    return [pair for pair in files.unread if _language(pair[0]) not in _MARKUP] or list(files.unread)


def _named(endings: Sequence[tuple[str, int]]) -> str:
    """Return words such as `.swift (Swift, 120 files), .wren (3 files)`."""
    named = []
    for ending, count in endings[:_NAMED_ENDINGS]:
        language = f"{_language(ending)}, " if _language(ending) != ending else ""
        named.append(f"{ending} ({language}{count:,} file{'' if count == 1 else 's'})")
    return ", ".join(named)


def _most_first(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _cause(excluded: Callable[[bytes], str | None]) -> Callable[[bytes], bytes]:
    """Return a function that names the outermost folder that is left out with a file, else the file's own folder."""

    @lru_cache(maxsize=1 << 15)
    def outermost(folders: bytes, extension: bytes) -> bytes:
        above, slash, _ = folders[:-1].rpartition(b"/")
        if slash and excluded(above + b"/_." + extension):
            return outermost(above + slash, extension)
        return folders

    def cause(path: bytes) -> bytes:
        folders, slash, name = path.rpartition(b"/")
        return outermost(folders + slash, name.rpartition(b".")[2]) if slash else b""

    return cause


def describe_left_out(files: SourceFiles) -> str:
    """Return a clause such as `9 source files are left out by their path: 6 test, 3 vendored; largest folders: ...`."""
    if not files.left_out:
        return ""
    one = files.left_out == 1
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in files.excluded)
    folders = ", ".join(f"{folder.path} ({folder.files:,})" for folder in files.folders)
    return (
        f"{files.left_out:,} source file{'' if one else 's'} {'is' if one else 'are'} left out by "
        f"{'its' if one else 'their'} path: {reasons}; "
        f"largest folder{'' if len(files.folders) == 1 else 's'}: {folders}"
    )


def describe_unread(files: SourceFiles) -> str:
    """Return a sentence if more code is in languages that are not read than in those that are, else nothing."""
    others = [pair for pair in _code(files) if _language(pair[0]) not in _MARKUP and _language(pair[0]) != pair[0]]
    if not files.read or sum(count for _, count in others) <= files.read:
        return ""
    return f"most of the code is in languages that are not read: {_named(others)}"


def obstacle_of(files: SourceFiles, *, partial: bool, missing: int) -> Obstacle | None:
    """Return why little or nothing can be read: a partial clone, another language, or rules that leave all out.

    A partial clone without large files lacks a few objects that would not be read anyway.
    """
    if partial and _MISSING_SHARE * missing > files.read:
        return Obstacle(
            "partial clone",
            f"This is a partial clone: {missing:,} object{'' if missing == 1 else 's'} that mining needs "
            f"{'was' if missing == 1 else 'were'} never fetched. Fetch all with `git fetch --refetch --no-filter`, or "
            "make a full clone, without --filter.",
        )
    if files.read:
        return None
    others = _code(files)
    if files.left_out and files.left_out >= sum(count for _, count in others):
        return Obstacle(
            "all code is left out by its path",
            f"All code is left out: {describe_left_out(files)}. If this is product code, list it under `include` in "
            ".github/assay.yml.",
        )
    if others:
        return Obstacle(
            f"{_language(others[0][0])} is not read",
            f"The language of this repository is not read: most of its files end in {_named(others)}. Assay reads "
            f"{', '.join(sorted({language.name for language in LANGUAGES}))}.",
        )
    return Obstacle("no source file", "There is no source file at the head of this repository.")
