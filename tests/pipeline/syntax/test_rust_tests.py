from __future__ import annotations

from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import LANGUAGES
from pipeline.syntax.parser import ParsedFile, parse_file
from pipeline.syntax.rust_tests import test_spans as spans_of
from pipeline.syntax.tokens import only_tests
from tests.rows import each_row

RUST = next(language for language in LANGUAGES if language.name == "Rust")
PRODUCT = "fn a() {\n  one();\n}\n"
TESTS = "#[cfg(test)]\nmod tests {\n  #[test]\n  fn t() {\n    two();\n  }\n}\n"


def parsed(text: str) -> ParsedFile:
    return parse_file(RUST, text.encode())


def differ_only_in_tests(old: str, new: str) -> bool:
    return only_tests(parsed(old), parsed(new), diff_hunks(old.encode(), new.encode()))


@each_row(
    ("attribute", "is_test"),
    [
        ("cfg(test)", True),
        ("cfg( all( unix , any ( test ) ) )", True),
        ("cfg(any(test, all(test, unix)))", True),
        ("test", True),
        ("bench", True),
        ("rstest", True),
        ("test_case(1, 2)", True),
        ('tokio::test(flavor = "x")', True),
        ("cfg(not(test))", False),
        ("cfg(any(test, fuzzing))", False),
        ("cfg(all(not(test), unix))", False),
        ('cfg(feature = "test")', False),
        ("cfg_attr(test, allow(dead_code))", False),
        ("inline", False),
    ],
)
def test_an_attribute_tells_a_test(attribute: str, is_test: bool) -> None:
    item = f"#[{attribute}]\n// fn comment() {{\n#[inline]\nfn f(a: [u8; 3]) {{\n  let x = '}}';\n}}\n"
    source = item + PRODUCT
    assert bool(spans_of(source.encode())) == is_test
    assert [f.qualified_name for f in parsed(source).functions] == (["a"] if is_test else ["f", "a"])


def test_an_attribute_in_a_comment_or_string_is_none() -> None:
    assert spans_of(b'/// #[test]\nfn f() {}\nconst A: &str = "#[test] fn x() {}";\n') == ()


def test_a_file_can_be_a_test_as_a_whole() -> None:
    assert parsed("#![cfg(test)]\n" + PRODUCT).functions == ()


def test_an_attribute_of_an_import_reaches_no_further() -> None:
    assert [f.qualified_name for f in parsed("#[cfg(test)]\nuse a::{b, c};\n" + PRODUCT).functions] == ["a"]


@each_row(
    ("old", "new", "expected"),
    [
        (PRODUCT + TESTS, PRODUCT + TESTS.replace("two", "three"), True),
        (PRODUCT, PRODUCT + TESTS, True),
        (PRODUCT + TESTS, PRODUCT.replace("one", "none") + TESTS.replace("two", "three"), False),
        (PRODUCT + TESTS, PRODUCT.replace("one", "none") + TESTS, False),
        (PRODUCT, PRODUCT.replace("one", "none"), False),
    ],
)
def test_a_change_of_tests_alone_is_known(old: str, new: str, expected: bool) -> None:
    assert differ_only_in_tests(old, new) == expected
