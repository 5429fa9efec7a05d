"""Tell tests from product code by content, for files whose name alone would make them tests.

`hit_test.cpp`, `LabTest.cs` and `ab_test.py` are product code where nothing in them speaks of a test: no framework is
imported, no test is declared. Plain assertions say nothing: product code has them too. Patterns are linear and search
the first kilobytes only.
"""

from __future__ import annotations

import re
from typing import Final

READ_BYTES: Final = 32_768

_JVM: Final = (
    rb"^[ \t]*import\s+(?:static\s+)?(?:org\.junit|junit\.|org\.testng|io\.kotest|io\.kotlintest|kotlin\.test|spock\."
    rb"|org\.spek|org\.mockito|org\.assertj|org\.hamcrest|androidx\.test|org\.springframework\.(?:boot\.)?test)"
    rb"|@(?:Parameterized|Before|After|Repeated|Spring(?:Boot)?)?(?:Test|Each|All)\b"
    rb"|\bextends\s+\w{0,60}(?:Tests?|TestCase|TestBase)\b|\bassert[A-Z]\w{0,40}\s*\("
)
_CSHARP: Final = (
    rb"^[ \t]*(?:global\s+)?using\s+(?:static\s+)?(?:Xunit|NUnit|Microsoft\.VisualStudio\.TestTools|FluentAssertions"
    rb"|Moq|NSubstitute|Shouldly|Machine\.Specifications|TUnit|MSTest|FakeItEasy|Verify)"
    rb"|\[\s*(?:Fact|Theory|Test|TestCase|TestMethod|TestClass|TestFixture|SetUp|OneTimeSetUp|Benchmark|Property)\b"
    rb"|\bAssert\s*\.\s*[A-Z]|\.Should\(\)"
)
_PYTHON: Final = (
    rb"^[ \t]*(?:import|from)\s+(?:unittest|pytest|nose|hypothesis|doctest|testtools|twisted\.trial|mock|django\.test"
    rb"|absl\.testing|numpy\.testing|testing|testify)\b|^[ \t]*(?:async\s+)?def\s+test|^[ \t]*class\s+Test"
    rb"|^[ \t]*class\s+\w{1,80}Tests?(?:Case)?\b|\bself\.(?:assert|fail)[A-Z]\w{0,40}\("
)
_RUBY: Final = (
    rb"^[ \t]*(?:RSpec\.|describe\b|context\b|it\s+['\"]|test\s+['\"]|def\s+test_|require(?:_relative)?\s+['\"]"
    rb"[^'\"]{0,80}(?:spec_helper|test_helper|rails_helper|minitest|test/unit|rspec))"
    rb"|<\s*[\w:]{0,80}(?:Test|TestCase|Spec)\b"
)
_PHP: Final = (
    rb"PHPUnit|\bextends\s+[\w\\]{0,80}(?:Test|TestCase|TestBase|ObjectBehavior)\b|\bfunction\s+test\w"
    rb"|@(?:test|covers)\b|#\[\s*Test\b|^[ \t]*(?:it|test|describe)\s*\(|\b(?:Functional|Acceptance|Unit|Api)Tester\b"
    rb"|->assert[A-Z]"
)
_RUST: Final = rb"#!?\[\s*(?:cfg\s*\(\s*)?(?:\w{1,40}::){0,4}(?:test|rstest|test_case|bench|quickcheck)\b|\bproptest!"
_JAVASCRIPT: Final = (
    rb"(?:^|[^.\w$])(?:describe|it|test|suite|specify|expect|QUnit\.\w{1,20}|Deno\.test|Benchmark)"
    rb"(?:\.\w{1,20})?\s*\(|['\"](?:vitest|jest|mocha|chai|ava|tape|uvu|jasmine|sinon|node:test"
    rb"|@jest/globals|@playwright/test|@testing-library/[\w-]{1,40}|bun:test)['\"]|\brequire\.context\("
)
_C: Final = (
    rb"^[ \t]*#\s*include\s*[<\"][^>\"\n]{0,120}(?:gtest|gmock|catch|doctest|boost/test|cppunit|QtTest|QTest|unity"
    rb"|cmocka|criterion|check\.h|minunit|benchmark|munit|greatest|tap\.h|CppUTest|testing|test_?util"
    rb"|test_?helper|test_?common|unittest)|\b(?:TEST(?:_F|_P|_CASE|_METHOD)?|TYPED_TEST"
    rb"|ASSERT_\w{1,40}|EXPECT_\w{1,40}|BOOST_\w{0,40}TEST\w{0,40}|CU_ASSERT\w{0,40}|QVERIFY|QCOMPARE|BENCHMARK|SCENARIO|IN_PROC_BROWSER_TEST_F)\s*\("
    rb"|^[ \t]*(?:static\s+)?(?:int|void|auto|bool)\s+(?:main|[Tt]est_?\w{0,80})\s*\("
    rb"|^[ \t]*@interface\s+\w{1,80}Tests?\b"
)
_BY_EXTENSION: Final = {
    extension: re.compile(pattern, re.MULTILINE)
    for extensions, pattern in (
        (b"java kt kts", _JVM),
        (b"cs", _CSHARP),
        (b"py", _PYTHON),
        (b"rb", _RUBY),
        (b"php", _PHP),
        (b"rs", _RUST),
        (b"js jsx mjs cjs ts tsx mts cts", _JAVASCRIPT),
        (b"c h cc cpp cxx hh hpp hxx c++ h++ inl", _C),
    )
    for extension in extensions.split()
}


def holds_tests(name: bytes, data: bytes) -> bool:
    """Return whether a file with the name of a test is one, judging by its content; True if the language is unknown."""
    pattern = _BY_EXTENSION.get(name.rpartition(b".")[2].lower())
    return pattern is None or bool(pattern.search(data, 0, READ_BYTES))
