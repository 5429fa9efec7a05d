"""Valid settings apply; everything else is reported by key and line."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.repo_config.keys import BY_NAME, KEYS
from bot.repo_config.parse import MAX_PROBLEMS, parse_config
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


def test_an_empty_file_has_no_problems(subtests: pytest.Subtests) -> None:
    cases: list[str] = ["", "\n# nothing\n", "---\n", "~\n", "null", "{}", "\ufeff", "finetune: {}"]
    for text in cases:
        with subtests.test(text=text):
            assert parse_config(text.encode()) == parse_config(b"")
            assert parse_config(text.encode()).config == RepositoryConfig()


def test_other_spellings_mean_the_same(subtests: pytest.Subtests) -> None:
    cases: list[str] = ["quiet: true\n", "\ufeffquiet: true", "quiet: true\r\n", "{quiet: True}", '"quiet": TRUE']
    for text in cases:
        with subtests.test(text=text):
            parsed = parse_config(text.encode())
            assert (parsed.config, parsed.problems) == (QUIET, ())


# Each is in line 2, between keys that apply.
MISTAKES = [
    ("bug_label: [x]", "bug_label: unknown key (closest: bug_labels)"),
    ("Fix-Patterns: [x]", "Fix-Patterns: unknown key (closest: fix_patterns)"),
    ("max_minutes: 3", "max_minutes: unknown key (closest: finetune.max_minutes)"),
    ("zzz: 3", "zzz: unknown key"),
    ("<<: {a: 1}", "<<: unknown key"),
    ("404: 3", "404: unknown key"),
    ("finetune: {max_minute: 3}", "finetune.max_minute: unknown key (closest: finetune.max_minutes)"),
    ("finetune: true", "finetune: must be a section of `key: value` lines, not a single value"),
    ("permission: owner", "permission: must be one of write, maintain, admin, not 'owner'"),
    ("permission: [admin]", "permission: must be text, not a list"),
    ("permission:", "permission: has no value: set one, or remove the key"),
    ("finetune: {enabled: yes}", "finetune.enabled: must be true or false; 'yes' is ordinary text"),
    ("finetune: {enabled: ON}", "finetune.enabled: must be true or false; 'ON' is ordinary text"),
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
    ("exclude: a", "exclude: must be a list with one `- item` a line, not a single value"),
    ("exclude: {a: b}", "exclude: must be a list with one `- item` a line, not a mapping"),
    ("exclude: [a, ['b']]", "exclude: item 2 is ignored: must be text, not a list"),
    ("exclude: [a, ]\nquiet: true", "quiet: duplicate of line 1, which applies"),
    ("exclude: [a, '']", "exclude: item 2 is ignored: it is empty"),
    ("exclude: [a, ~]", "exclude: item 2 is ignored: it is empty"),
    ("exclude: [a, 1.5]", "exclude: item 2 is ignored: '1.5' is not text: put it in quotes"),
    ("exclude: [a, true]", "exclude: item 2 is ignored: 'true' is not text: put it in quotes"),
    (
        "exclude: ['!a']",
        "exclude: item 1 is ignored: patterns that begin with ! are not supported: put the path into the other list",
    ),
    ("exclude: ['[a']", "exclude: item 1 is ignored: it is not a valid .gitignore pattern"),
    ("fix_patterns: ['(a']", "fix_patterns: item 1 is ignored: RE2 rejects it (missing ))"),
    ("fix_patterns: ['(?=a)']", "fix_patterns: item 1 is ignored: RE2 rejects it (invalid perl operator)"),
    (
        "fix_patterns: ['a*']",
        "fix_patterns: item 1 is ignored: it matches the empty string, so it matches every subject",
    ),
    (
        "fix_patterns: ['[^a]{900}']",
        "fix_patterns: item 1 is ignored: it repeats too much and would be slow to match",
    ),
    (f"fix_patterns: [{'x' * 501}]", "fix_patterns: item 1 is ignored: it is longer than 500 bytes"),
    (f"exclude: [{'é' * 251}]", "exclude: item 1 is ignored: it is longer than 500 bytes"),
    ("exclude: &x [a]", "exclude: anchors and aliases (& and *) are not supported"),
    ("exclude: *x", "exclude: anchors and aliases (& and *) are not supported"),
    ("exclude: [a, *x]", "exclude: item 2 is ignored: anchors and aliases (& and *) are not supported"),
    ("exclude: !!python/name:os.system", "exclude: tags (!) are not supported"),
    ("exclude: [!!str a]", "exclude: item 1 is ignored: tags (!) are not supported"),
    ("finetune: !x {enabled: true}", "finetune: tags (!) are not supported"),
    ('exclude: ["\\ud800"]', "exclude: item 1 is ignored: it is not valid text"),
]


def test_a_mistake_is_reported_by_key_and_line_and_the_rest_applies(subtests: pytest.Subtests) -> None:
    for line, message in MISTAKES:
        with subtests.test(line=line, message=message):
            parsed = parse_config(f"quiet: true\n{line}\npublish_ranking: true\n".encode())
            (problem,) = parsed.problems
            assert str(problem) == f"line {2 + line.count(chr(10))}, {message}"
            assert (parsed.config.quiet, parsed.config.publish_ranking) == (True, True)


def test_only_the_invalid_items_of_a_list_are_ignored() -> None:
    parsed = parse_config(b"fix_patterns:\n- '^A'\n- '(b'\n- '^C'\n- '^A'\n")
    assert parsed.config.fix_patterns == ("^A", "^C")
    assert [problem.line for problem in parsed.problems] == [3]


def test_the_first_fifty_items_of_a_long_list_apply() -> None:
    text = "exclude:\n" + "".join(f"- a{number}\n" for number in range(61))
    parsed = parse_config(text.encode())
    assert parsed.config.exclude == tuple(f"a{number}" for number in range(50))
    assert problems_of(text) == ["line 52, exclude: has 61 items: only the first 50 apply"]


def test_booleans_of_yaml_1_1_are_ordinary_labels() -> None:
    assert parse_config(b"bug_labels: [on, yes, n, '404', 'true']").config.bug_labels == (
        "on",
        "yes",
        "n",
        "404",
        "true",
    )


def test_an_empty_list_is_a_setting() -> None:
    assert parse_config(b"bug_labels: []").config.bug_labels == ()


@pytest.mark.parametrize("key", ["? [a]\n: b", "{a: b}: c", "*x : c", "&x a: c"])
def test_only_text_can_be_a_key(key: str) -> None:
    parsed = parse_config(f"quiet: true\n{key}\n".encode())
    assert parsed.config == QUIET
    assert [(problem.line, problem.key) for problem in parsed.problems] == [(2, "")]
    assert "cannot be a key" in parsed.problems[0].message


def test_nothing_applies_in_an_unreadable_file(subtests: pytest.Subtests) -> None:
    cases: list[tuple[bytes, int, str]] = [
        (b"quiet: true\na: b: c", 2, "it is not valid YAML (mapping values are not allowed here)"),
        (b"quiet: true\n\tx: 1", 2, "it is not valid YAML (found character that cannot start any token)"),
        (b"quiet: true\nexclude: [a", 2, "it is not valid YAML (expected ',' or ']', but got '<stream end>')"),
        (b"quiet: true\na: \x00", 2, "the character U+0000 is not allowed in YAML"),
        (b"quiet: true\na: \xff", 2, "the file is not UTF-8"),
        ("quiet: true".encode("utf-16"), 1, "the file is not UTF-8"),
        (b"\x7fELF\x02\x01\x01\x00", 1, "the character U+007F is not allowed in YAML"),
        (b"#" * 65_537, 0, "the file has 65,537 bytes, more than the limit of 65,536"),
        (b"quiet: true\na: " + b"[" * 9, 2, "lists and mappings are nested deeper than 8 levels"),
        (b"quiet: true\na:\n" + b"- b\n" * 2_000, 1_998, "the file has more than 2,000 values"),
    ]
    for raw, line, message in cases:
        with subtests.test(raw=raw, line=line, message=message):
            parsed = parse_config(raw)
            assert parsed.config == RepositoryConfig()
            (problem,) = parsed.problems
            assert (problem.line, problem.key) == (line, "")
            assert problem.message.endswith(": nothing in it applies")
            assert problem.message.startswith(message.partition(" ',' ")[0])


@pytest.mark.parametrize(
    ("raw", "kind"), [(b"- a\n", "a list"), (b"word", "a single value"), (b"&a {b: c}", "an alias")]
)
def test_a_file_that_is_not_a_mapping_sets_nothing(raw: bytes, kind: str) -> None:
    parsed = parse_config(raw)
    assert parsed.config == RepositoryConfig()
    assert parsed.problems[0].message.startswith(kind)


def test_a_second_document_is_not_read() -> None:
    parsed = parse_config(b"quiet: true\n---\nquiet: false\n")
    assert (parsed.config, parsed.problems) == (
        QUIET,
        (ConfigProblem(2, "", "a second document begins here; only the first one is read"),),
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


def test_a_bomb_is_harmless(subtests: pytest.Subtests) -> None:
    for name in BOMBS:
        with subtests.test(name=name):
            began = time.process_time()
            parsed = parse_config(BOMBS[name])
            assert time.process_time() - began < 5
            assert parsed.config == RepositoryConfig()
            assert len(parsed.problems) <= MAX_PROBLEMS + 1


def test_huge_values_are_quoted_briefly() -> None:
    assert all(len(text) < 300 for name in BOMBS for text in map(str, parse_config(BOMBS[name]).problems))


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(lambda text: text.encode("utf-8", "replace"))))
def test_any_bytes_give_problems_that_are_safe_to_print(raw: bytes) -> None:
    parsed = parse_config(raw)
    assert all(str(problem).isprintable() for problem in parsed.problems)
    assert parse_config(raw) == parsed


SCALARS = st.one_of(
    st.booleans().map(lambda b: str(b).lower()), st.text("abc*([&!{-'\" ", max_size=6), st.just("[a, b]")
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([*BY_NAME, "finetune", "bug_label"]), SCALARS), max_size=6))
def test_a_valid_key_applies_whatever_follows_unless_it_is_not_yaml(
    entries: list[tuple[str, str]],
) -> None:
    text = "quiet: true\n" + "".join(f"{name}: {value}\n" for name, value in entries)
    parsed = parse_config(text.encode())
    unreadable = any(problem.message.endswith("nothing in it applies") for problem in parsed.problems)
    assert parsed.config.quiet is (None if unreadable else True)
