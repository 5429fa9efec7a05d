from __future__ import annotations

from collections.abc import Iterable

from pipeline.classify.paths import excluded_path
from pipeline.mining.source_files import count_source_files, describe_left_out, describe_unread, obstacle_of
from pipeline.records import ExcludedFolder, Obstacle, SourceFiles


def counted(words: str | Iterable[str]) -> SourceFiles:
    paths = words.split() if isinstance(words, str) else words
    return count_source_files([path.encode() for path in paths], excluded_path)


def obstacle(words: str, *, partial: bool = False, missing: int = 0) -> Obstacle | None:
    return obstacle_of(counted(words), partial=partial, missing=missing)


def test_files_are_counted_by_rule_with_the_largest_folders() -> None:
    files = counted(
        "src/a.py src/a_test.py tests/a.py tests/deep/b.py tests/deep/fixtures/c.py vendor/a/a.go vendor/a/b.go"
        " vendor/c/c.go README.md docs/logo.png docs/conf.py tools/build.sh"
    )
    assert files == SourceFiles(
        read=1,
        excluded=(("test", 3), ("vendored", 3), ("documentation", 1), ("fixture", 1)),
        folders=(
            ExcludedFolder("tests/", "test", 3),
            ExcludedFolder("vendor/", "vendored", 3),
            ExcludedFolder("docs/", "documentation", 1),
        ),
        unread=((".sh", 1),),
    )
    assert describe_left_out(files) == (
        "8 source files are left out by their path: 3 test, 3 vendored, 1 documentation, 1 fixture; "
        "largest folders: tests/ (3), vendor/ (3), docs/ (1)"
    )


def test_one_file_is_left_out_in_the_singular_and_none_in_silence() -> None:
    sentence = "1 source file is left out by its path: 1 test; largest folder: ./ (1)"
    assert describe_left_out(counted("a.py a_test.py")) == sentence
    assert describe_left_out(counted("a.py")) == ""


def test_a_language_that_is_not_read_is_named() -> None:
    swift = obstacle("Sources/A.swift Sources/B.swift Sources/C.m Tests/d.swift vendor/a.c style.css")
    assert swift is not None
    assert swift.title == "Swift is not read"
    assert "most of its files end in .swift (Swift, 2 files), .m (Objective-C or MATLAB, 1 file)" in swift.sentence
    assert "Assay reads C, C#, C++" in swift.sentence
    elixir = obstacle("lib/a.ex test/a_test.exs mix.exs")
    assert elixir is not None
    assert elixir.title == "Elixir is not read"
    unknown = obstacle("src/a.wren src/b.wren README.md logo.png .gitignore data.json")
    assert unknown is not None
    assert ("most of its files end in .wren (2 files)" in unknown.sentence, unknown.title) == (
        True,
        ".wren is not read",
    )


def test_a_repository_that_is_read_in_small_part_is_told() -> None:
    words = "most of the code is in languages that are not read: .swift (Swift, 3 files)"
    assert describe_unread(counted("a.swift b.swift c.swift tools/a.py tools/b.py a.html")) == words
    assert describe_unread(counted("a.swift tools/a.py data.weird data2.weird a.html b.html")) == ""
    assert describe_unread(counted("a.swift")) == ""  # an obstacle instead


def test_a_product_that_is_all_left_out_is_told_by_which_rule() -> None:
    found = obstacle("node_modules/a/index.js node_modules/b/index.js third_party/c.c README.md build.sh")
    assert found is not None
    assert found.title == "all code is left out by its path"
    assert "3 vendored; largest folders: node_modules/ (2), third_party/ (1)" in found.sentence
    assert "`include`" in found.sentence


def test_without_any_source_file_that_is_said() -> None:
    found = obstacle("README.md logo.png LICENSE")
    assert found is not None
    assert found.sentence == "There is no source file at the head of this repository."


def test_a_partial_clone_is_an_obstacle_only_while_objects_are_missing() -> None:
    assert obstacle("src/a.py", partial=True) is None
    assert obstacle("src/a.py", missing=3) is None  # damage, which the notes report
    many = " ".join(f"src/{n}.py" for n in range(300))
    assert obstacle(many, partial=True, missing=2) is None  # a clone without large files
    found = obstacle(many, partial=True, missing=4)
    assert found is not None
    found = obstacle("src/a.py", partial=True, missing=3)
    assert found is not None
    assert "partial clone: 3 objects" in found.sentence
    assert "git fetch --refetch --no-filter" in found.sentence
    assert "full clone" in found.sentence


def test_names_of_folders_are_made_printable() -> None:
    folder = count_source_files([b"vendor\x1b[2J\xff/a.c", b"tests/\x00\n/a.c"], lambda path: "vendored").folders[0]
    assert folder.path.isprintable()
