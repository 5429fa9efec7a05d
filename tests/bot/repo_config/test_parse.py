"""What a file says applies as far as it is right; everything else is named by key and line."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.repo_config.keys import BY_NAME, KEYS
from bot.repo_config.parse import MOST_PROBLEMS, parse_config
from bot.repo_config.repository_config import ConfigProblem, RepositoryConfig

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "repo-config.md"
QUIET = RepositoryConfig(quiet=True)


def problems_of(text: str) -> list[str]:
    return [str(problem) for problem in parse_config(text.encode()).problems]


def test_the_example_in_the_documentation_uses_every_key_and_has_no_problem() -> None:
    example = DOCS.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    parsed = parse_config(example.encode())
    assert parsed.problems == ()
    assert [key.name for key in KEYS if getattr(parsed.config, key.field) is None] == []
    assert parsed.config.fix_patterns == ("^CRASH-[0-9]+: ", r"(?i)\bhotpatch\b")
    assert parsed.config.finetune_max_minutes == 90


def test_the_documentation_has_a_row_for_every_key() -> None:
    rows = [line.split("`")[1] for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert rows == list(BY_NAME)


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "---\n", "~\n", "null", "{}", "\ufeff", "finetune: {}"])
def test_a_file_that_says_nothing_is_no_problem(text: str) -> None:
    assert parse_config(text.encode()) == parse_config(b"")
    assert parse_config(text.encode()).config == RepositoryConfig()


@pytest.mark.parametrize(
    "text", ["quiet: true\n", "\ufeffquiet: true", "quiet: true\r\n", "{quiet: True}", '"quiet": TRUE']
)
def test_what_is_written_otherwise_says_the_same(text: str) -> None:
    parsed = parse_config(text.encode())
    assert (parsed.config, parsed.problems) == (QUIET, ())


# Each stands in line 2, before and after keys that apply.
MISTAKES = [
    ("bug_label: [x]", "bug_label: is no key of this file: did you mean bug_labels?"),
    ("Fix-Patterns: [x]", "Fix-Patterns: is no key of this file: did you mean fix_patterns?"),
    ("max_minutes: 3", "max_minutes: is no key of this file: did you mean finetune.max_minutes?"),
    ("zzz: 3", "zzz: is no key of this file"),
    ("<<: {a: 1}", "<<: is no key of this file"),
    ("404: 3", "404: is no key of this file"),
    ("finetune: {max_minute: 3}", "finetune.max_minute: is no key of this file: did you mean finetune.max_minutes?"),
    ("finetune: true", "finetune: must be a section of `key: value` lines, not a single value"),
    ("permission: owner", "permission: must be one of write, maintain, admin, not 'owner'"),
    ("permission: [admin]", "permission: must be text, not a list"),
    ("permission:", "permission: has no value: give one, or remove the key"),
    ("finetune: {enabled: yes}", "finetune.enabled: must be true or false; 'yes' is a word like any other"),
    ("finetune: {enabled: ON}", "finetune.enabled: must be true or false; 'ON' is a word like any other"),
    ("finetune: {enabled: 'true'}", "finetune.enabled: must be true or false, not 'true'"),
    ("finetune: {enabled: {}}", "finetune.enabled: must be true or false, not a mapping"),
    (
        "finetune: {base_model: ../etc/passwd}",
        "finetune.base_model: must name a model as owner/name, not '../etc/passwd'",
    ),
    ("finetune: {base_model: gpt2}", "finetune.base_model: must name a model as owner/name, not 'gpt2'"),
    ("finetune: {max_minutes: 0}", "finetune.max_minutes: must be a whole number of minutes from 1 to 10080, not '0'"),
    (
        "finetune: {max_minutes: 1e3}",
        "finetune.max_minutes: must be a whole number of minutes from 1 to 10080, not '1e3'",
    ),
    (
        "finetune: {max_minutes: '90'}",
        "finetune.max_minutes: must be a whole number of minutes from 1 to 10080, not '90'",
    ),
    ("exclude: a", "exclude: must be a list, one `- item` a line, not a single value"),
    ("exclude: {a: b}", "exclude: must be a list, one `- item` a line, not a mapping"),
    ("exclude: [a, ['b']]", "exclude: item 2 is left out: must be text, not a list"),
    ("exclude: [a, ]\nquiet: true", "quiet: stands in line 1 already: only that one counts"),
    ("exclude: [a, '']", "exclude: item 2 is left out: it is empty"),
    ("exclude: [a, ~]", "exclude: item 2 is left out: it is empty"),
    ("exclude: [a, 1.5]", "exclude: item 2 is left out: '1.5' is not text unless it stands in quotes"),
    ("exclude: [a, true]", "exclude: item 2 is left out: 'true' is not text unless it stands in quotes"),
    (
        "exclude: ['!a']",
        "exclude: item 1 is left out: patterns that begin with ! are not supported: put the path into the other list",
    ),
    ("exclude: ['[a']", "exclude: item 1 is left out: it is not a valid .gitignore pattern"),
    ("fix_patterns: ['(a']", "fix_patterns: item 1 is left out: RE2 rejects it (missing ))"),
    ("fix_patterns: ['(?=a)']", "fix_patterns: item 1 is left out: RE2 rejects it (invalid perl operator)"),
    (
        "fix_patterns: ['a*']",
        "fix_patterns: item 1 is left out: it matches the empty string, so it matches every subject",
    ),
    (
        "fix_patterns: ['[^a]{900}']",
        "fix_patterns: item 1 is left out: it repeats too much and would be slow to match",
    ),
    (f"fix_patterns: [{'x' * 501}]", "fix_patterns: item 1 is left out: it is longer than 500 bytes"),
    (f"exclude: [{'é' * 251}]", "exclude: item 1 is left out: it is longer than 500 bytes"),
    ("exclude: &x [a]", "exclude: anchors and aliases (& and *) are not read"),
    ("exclude: *x", "exclude: anchors and aliases (& and *) are not read"),
    ("exclude: [a, *x]", "exclude: item 2 is left out: anchors and aliases (& and *) are not read"),
    ("exclude: !!python/name:os.system", "exclude: tags (!) are not read"),
    ("exclude: [!!str a]", "exclude: item 1 is left out: tags (!) are not read"),
    ("finetune: !x {enabled: true}", "finetune: tags (!) are not read"),
    ('exclude: ["\\ud800"]', "exclude: item 1 is left out: it is no text"),
]


@pytest.mark.parametrize(("line", "told"), MISTAKES)
def test_a_mistake_is_named_by_key_and_line_and_the_rest_applies(line: str, told: str) -> None:
    parsed = parse_config(f"quiet: true\n{line}\npublish_ranking: true\n".encode())
    (problem,) = parsed.problems
    assert str(problem) == f"line {2 + line.count(chr(10))}, {told}"
    assert (parsed.config.quiet, parsed.config.publish_ranking) == (True, True)


def test_of_a_list_only_the_wrong_items_are_left_out() -> None:
    parsed = parse_config(b"fix_patterns:\n- '^A'\n- '(b'\n- '^C'\n- '^A'\n")
    assert parsed.config.fix_patterns == ("^A", "^C")
    assert [problem.line for problem in parsed.problems] == [3]


def test_of_a_long_list_the_first_fifty_apply() -> None:
    text = "exclude:\n" + "".join(f"- a{number}\n" for number in range(61))
    parsed = parse_config(text.encode())
    assert parsed.config.exclude == tuple(f"a{number}" for number in range(50))
    assert problems_of(text) == ["line 52, exclude: has 61 items: the first 50 apply, no more"]


def test_words_that_yaml_1_1_took_for_booleans_are_labels_like_others() -> None:
    assert parse_config(b"bug_labels: [on, yes, n, '404', 'true']").config.bug_labels == (
        "on",
        "yes",
        "n",
        "404",
        "true",
    )


def test_an_empty_list_is_something_that_is_said() -> None:
    assert parse_config(b"bug_labels: []").config.bug_labels == ()


@pytest.mark.parametrize("key", ["? [a]\n: b", "{a: b}: c", "*x : c", "&x a: c"])
def test_what_is_no_word_is_no_key(key: str) -> None:
    parsed = parse_config(f"quiet: true\n{key}\n".encode())
    assert parsed.config == QUIET
    assert [(problem.line, problem.key) for problem in parsed.problems] == [(2, "")]
    assert "cannot be a key" in parsed.problems[0].message


@pytest.mark.parametrize(
    ("raw", "line", "told"),
    [
        (b"quiet: true\na: b: c", 2, "this is no valid YAML (mapping values are not allowed here)"),
        (b"quiet: true\n\tx: 1", 2, "this is no valid YAML (found character that cannot start any token)"),
        (b"quiet: true\nexclude: [a", 2, "this is no valid YAML (expected ',' or ']', but got '<stream end>')"),
        (b"quiet: true\na: \x00", 2, "the character U+0000 may not stand in YAML"),
        (b"quiet: true\na: \xff", 2, "the file is not UTF-8"),
        ("quiet: true".encode("utf-16"), 1, "the file is not UTF-8"),
        (b"\x7fELF\x02\x01\x01\x00", 1, "the character U+007F may not stand in YAML"),
        (b"#" * 65_537, 0, "the file has 65,537 bytes, and at most 65,536 are read"),
        (b"quiet: true\na: " + b"[" * 9, 2, "lists and mappings are nested deeper than 8 levels"),
        (b"quiet: true\na:\n" + b"- b\n" * 2_000, 1_998, "the file has more than 2,000 values"),
    ],
)
def test_where_the_file_cannot_be_read_nothing_applies(raw: bytes, line: int, told: str) -> None:
    parsed = parse_config(raw)
    assert parsed.config == RepositoryConfig()
    (problem,) = parsed.problems
    assert (problem.line, problem.key) == (line, "")
    assert problem.message.endswith(": nothing in it applies")
    assert problem.message.startswith(told.partition(" ',' ")[0])


@pytest.mark.parametrize(
    ("raw", "kind"), [(b"- a\n", "a list"), (b"word", "a single value"), (b"&a {b: c}", "an alias")]
)
def test_a_file_that_is_no_mapping_says_nothing(raw: bytes, kind: str) -> None:
    parsed = parse_config(raw)
    assert parsed.config == RepositoryConfig()
    assert parsed.problems[0].message.startswith(kind)


def test_a_second_document_is_not_read() -> None:
    parsed = parse_config(b"quiet: true\n---\nquiet: false\n")
    assert (parsed.config, parsed.problems) == (
        QUIET,
        (ConfigProblem(2, "", "a second document begins here, and only the first is read"),),
    )


BOMBS = {
    "laughs": b"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nfix_patterns: *c\n",
    "lists in lists": b"[" * 65_000,
    "mappings in mappings": b"{" * 65_000,
    "blocks in blocks": b"- " * 32_000,
    "keys of keys": b"? " * 32_000,
    "many items": b"exclude: [" + b"a," * 32_000 + b"]",
    "many keys": b"".join(b"fix_pattern%d: 1\n" % number for number in range(990)),
    "a long value": b"quiet: " + b"a" * 65_000,
    "a long key": b"? " + b"a" * 65_000 + b"\n: b",
    "escapes": b'quiet: "' + b"\\x41" * 16_000 + b'"',
    "words": b"a " * 32_000,
    "comments": b"#\n" * 32_000,
    "documents": b"---\n" * 16_000,
    "directives": b"%A b\n" * 13_000,
    "colons": b": " * 32_000,
    "noise": random.Random(1).randbytes(65_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_no_time_and_says_nothing(name: str) -> None:
    began = time.process_time()
    parsed = parse_config(BOMBS[name])
    assert time.process_time() - began < 5
    assert parsed.config == RepositoryConfig()
    assert len(parsed.problems) <= MOST_PROBLEMS + 1


def test_a_word_of_megabytes_is_shown_short() -> None:
    assert all(len(told) < 300 for name in BOMBS for told in map(str, parse_config(BOMBS[name]).problems))


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(lambda text: text.encode("utf-8", "replace"))))
def test_whatever_the_bytes_there_is_an_answer_that_is_safe_to_print(raw: bytes) -> None:
    parsed = parse_config(raw)
    assert all(str(problem).isprintable() for problem in parsed.problems)
    assert parse_config(raw) == parsed


SCALARS = st.one_of(
    st.booleans().map(lambda b: str(b).lower()), st.text("abc*([&!{-'\" ", max_size=6), st.just("[a, b]")
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*BY_NAME, "finetune", "bug_label"]), SCALARS), max_size=6))
def test_a_key_that_is_right_applies_whatever_stands_below_it_unless_it_is_no_yaml(
    entries: list[tuple[str, str]],
) -> None:
    text = "quiet: true\n" + "".join(f"{name}: {value}\n" for name, value in entries)
    parsed = parse_config(text.encode())
    unreadable = any(problem.message.endswith("nothing in it applies") for problem in parsed.problems)
    assert parsed.config.quiet is (None if unreadable else True)
