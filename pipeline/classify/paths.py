"""Exclude files that are not product code, by their path alone.

Tests, fixtures, generated, vendored, minified and documentation code and declaration files are excluded by default
(docs/development/design.md, "Function"). Paths are ambiguous; these decisions are based on sixteen public histories:

- Below `src/main/` of Java and Kotlin, folders are package names (`org/.../boot/test`, `com.example.demo`). So test and
  documentation names count only above it, and only if they name a whole test or demo project: `smoke-test/`,
  `*-tests/`, `samples/`, or a project inside of `src/test/`. Modules named `*-test` are shipped.
- Code for testers is shipped and kept: `testing/`, `unittest/`, `test-utils/`, Ruby's `lib/**/test/`, and Python
  packages named `test` below the top of the tree (django/test), except for files named like tests.
- `spec/` is a test folder in Ruby, PHP and JavaScript only. Benchmarks count as tests, as they are not shipped.
- `build/`, `contrib/`, `gen/`, `mock/`, `scripts/`, `templates/` and `migrations/` are kept: they contain handwritten
  code in too many projects (the generated part of a Django migration has no functions). `dist/` and `compiled/` are
  excluded for JavaScript only (Go's cmd/dist is a program), `deps/`, `external/` and `extern/` for C and C++ only.
- `doc/` and `sample/` are documentation only at the top of the tree (Go's go/doc and cmd/doc are programs); `docs/`,
  `examples/`, `demos/`, `samples/`, `website/`, `playground/` and `*-examples/` are at any depth.

If several reasons apply, the first in `PRECEDENCE` is reported.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pipeline.label_recipe import MINER_VERSION

PRECEDENCE: Final = ("minified", "vendored", "generated", "declaration", "fixture", "test", "documentation")

_VENDORED = (
    b"vendor vendors vendored _vendor _vendored third_party third-party thirdparty 3rdparty 3rd_party 3rd-party"
    b" node_modules bower_components jspm_packages godeps site-packages externals .yarn pods carthage"
)
_GENERATED = (
    b"generated __generated__ _generated generated-src generated-sources generated_src deno_dist .next .nuxt"
    b" .svelte-kit"
)
_FIXTURE = (
    b"fixture fixtures __fixtures__ __testfixtures__ testfixtures testdata test-data test_data __snapshots__ __mocks__"
    b" mocks cassettes"
)
# Test folders that count even above a `src/main/`: whole test projects.
_TEST_PROJECTS = (
    b"integration-test integration-tests integration_tests integrationtest integrationtests smoke-test smoke-tests"
    b" smoketest system-test system-tests functional-tests functional_tests acceptance-tests e2e e2e-tests benchmarks"
)
_TEST = (
    b"test tests __tests__ __test__ inttest unittests unit-tests unit_tests androidtest __benchmarks__ benches"
    b" asv_benchmarks dts-test type-tests typetests cypress " + _TEST_PROJECTS
)
_DOCUMENTATION = (
    b"docs documentation docs_src docsrc docs-src examples example _examples demos demo samples tutorials tutorial"
    b" website playground playgrounds cookbook"
)
_FOLDERS: Final = {
    name: reason
    for reason, names in (
        ("vendored", _VENDORED),
        ("generated", _GENERATED),
        ("fixture", _FIXTURE),
        ("test", _TEST),
        ("documentation", _DOCUMENTATION),
        ("declaration", b"flow-typed"),
    )
    for name in names.split()
}
_TOP_FOLDERS: Final = {b"doc": "documentation", b"sample": "documentation", b"bench": "test", b"benchmark": "test"}
_TEST_PROJECT_ENDS: Final = tuple(b"-tests _tests .tests .test unittests integrationtests .specs -bench".split())
_DOCUMENTATION_ENDS: Final = tuple(
    b"-examples -samples -demos -docs -playground .samples .examples _examples".split(),
)
# Gradle's and Maven's source sets: src/intTest/, src/commonTest/, src/testFixtures/; src/main/, src/commonMain/.
_TEST_SOURCES = re.compile(rb"(?:^|/)src/(?:test|it|[a-z][A-Za-z0-9]*Test|test[A-Z][A-Za-z0-9]*)/")
_MAIN_SOURCES = re.compile(rb"(?:^|/)src/(?:main|[a-z][A-Za-z0-9]*Main)/")

_JAVASCRIPT: Final = frozenset(b"js jsx mjs cjs ts tsx mts cts".split())
_C: Final = frozenset(b"c h cc cpp cxx hh hpp hxx c++ h++ inl".split())
_JVM: Final = frozenset(b"java kt kts".split())
_SPEC_LANGUAGES: Final = _JAVASCRIPT | {b"rb", b"php"}
_LANGUAGE_FOLDERS: Final = (
    (_SPEC_LANGUAGES, {b"spec": "test", b"specs": "test"}),
    (_JAVASCRIPT, {b"dist": "generated", b"compiled": "vendored"}),
    (_C, {b"deps": "vendored", b"external": "vendored", b"extern": "vendored"}),
)
_NONE: Final[dict[bytes, str]] = {}
_FOLDERS_BY_LANGUAGE: Final = {
    extension: {
        name: reason
        for extensions, table in _LANGUAGE_FOLDERS
        if extension in extensions
        for name, reason in table.items()
    }
    for extension in _SPEC_LANGUAGES | _C
}
_PROJECTS: Final = frozenset(_TEST_PROJECTS.split())

_NAME_TESTS: Final = {
    frozenset([b"py"]): rb"test_.*|.*_tests?|conftest|tests?|runtests",
    frozenset([b"go"]): rb".*_test",
    _JVM: rb".*(?:Tests?|TestCase|TestSuite|TestKt|Spec)|.*[a-z0-9]IT|Test[A-Z].*",
    frozenset([b"cs"]): rb".*(?:Tests?|Specs|TestBase)",
    frozenset([b"rb"]): rb".*_spec|.*_test|test_.*|spec_helper|test_helper|rails_helper",
    frozenset([b"php"]): rb".*(?:Test|TestCase|Cest)",
    frozenset([b"rs"]): rb"tests?|.*_tests?",
    _JAVASCRIPT: (
        rb".*\.(?:test|spec|e2e|cy|bench|test-d|e2e-spec|unit|stories)(?:\..*)?"
        rb"|.*[-_](?:test|spec)(?:\.(?:internal|node|browser|js))?|setup-?tests?"
    ),
    _C: rb"test_.*|.*_(?:unit|browser)?tests?|.*_benchmark|.*Tests?",
}
_TEST_NAME: Final = {ext: re.compile(pattern, re.DOTALL) for exts, pattern in _NAME_TESTS.items() for ext in exts}

_DECLARATION = re.compile(rb"\.d\.[mc]?ts$|\.d\.[^./]+\.ts$|\.pyi$")
_MINIFIED = re.compile(
    rb"[.-]min\.(?:js|mjs|cjs)$|\.(?:bundle|pack|packed)\.(?:js|mjs|cjs)$|\.min\.[^./]+\.js$", re.IGNORECASE
)
_GENERATED_NAME = re.compile(
    rb"(?:\.pb\.(?:go|cc|h|c|rb|rs)|\.pb\.gw\.go|\.pb\.validate\.go|_pb2(?:_grpc)?\.py|_pb\.(?:js|ts|rb)|_grpc_pb\.js"
    rb"|[._]generated\.\w+|\.gen\.\w+|(?:^|/)zz_generated[^/]*|\.designer\.cs|\.g(?:\.i)?\.cs|AssemblyInfo\.cs"
    rb"|(?:^|[/_])bindata\.go|(?:^|/)y\.go|(?:^|/)lex\.yy\.cc?|\.(?:tab|yy)\.(?:c|h|cc|cpp|hpp)"
    rb"|(?:^|/)(?:moc|qrc)_[^/]*\.cpp|(?:^|/)ui_[^/]*\.h|(?:^|/)\.pnp\.[cm]?js)$",
    re.IGNORECASE,
)
# Since version 2. `deps/` and `external/` at the top of the tree hold copies in every language; further down they may
# be the dependencies that a product manages.
_MORE_VENDORED = re.compile(
    rb"^(?:deps|external|extern)/|(?:^|/)(?:thirdpartylibs|3p|3rdpartylibs|extlibs?|ext_libs?|ext-libs?|vendored[_-]libs"
    rb"|vendor[_-]js|web_modules|jslibs|js-libs|_third_party|__vendor__)/"
)
_TYPE_TESTS = re.compile(rb"(?:^|/)(?:tsd|dtslint|types?-tests?|tests?-types?|tests?-d|typings-tests?)/")
_MORE_SCRIPT_TESTS = re.compile(
    rb"\.(?:tst|type-tests?|types-tests?)\.[cm]?tsx?$|[-_](?:tests|specs)\.[cm]?[jt]sx?$|^tests?\.[cm]?[jt]sx?$"
)
_MORE_GENERATED = re.compile(rb"(?:^|/)(?:autogenerated|auto-generated|auto_generated|autogen|generated-code)/")
_MORE_GENERATED_NAMES = re.compile(rb"\.pb\.(?:kt|java|php|ts|js|py)$|\.pbobjc\.[hm]$")
_RANK: Final = {reason: rank for rank, reason in enumerate(PRECEDENCE)}
_NOT_EXCLUDED: Final = len(PRECEDENCE)
_REASON_BY_RANK: Final[tuple[str | None, ...]] = (*PRECEDENCE, None)


def excluded_path(path: bytes, version: int = MINER_VERSION) -> str | None:
    """Return why a file is excluded by its path alone, one of `PRECEDENCE`, or None.

    From version 2 on, a repository's `layout` decides beside it on names that are ambiguous.
    """
    folders, slash, name = path.rpartition(b"/")
    extension = name.rpartition(b".")[2].lower()
    rank, is_shipped = _folder_rank(folders + slash, extension)
    if not is_shipped and _named_like_test(name, extension):
        rank = min(rank, _RANK["test"])
    rank = min(rank, _name_rank(name))
    if version >= 2 and rank > _RANK["vendored"]:
        rank = min(rank, _second_folder_rank(folders + slash, extension), _second_name_rank(name, extension))
    return _REASON_BY_RANK[rank]


@lru_cache(maxsize=1 << 15)
def _second_folder_rank(above: bytes, extension: bytes) -> int:
    """Return the rank by what version 2 added for folders (with the last slash)."""
    above = above.lower()
    if _MORE_VENDORED.search(above):
        return _RANK["vendored"]
    if extension in _JAVASCRIPT and _TYPE_TESTS.search(above):
        return _RANK["test"]
    return _RANK["generated"] if _MORE_GENERATED.search(above) else _NOT_EXCLUDED


def _second_name_rank(name: bytes, extension: bytes) -> int:
    if extension in _JAVASCRIPT and _MORE_SCRIPT_TESTS.search(name):
        return _RANK["test"]
    return _RANK["generated"] if _MORE_GENERATED_NAMES.search(name) else _NOT_EXCLUDED


def is_test_path(path: bytes, version: int = MINER_VERSION) -> bool:
    """Return whether a file is a test or a fixture."""
    return excluded_path(path, version) in ("test", "fixture")


def _name_rank(name: bytes) -> int:
    return min(
        _RANK["generated"] if _GENERATED_NAME.search(name) else _NOT_EXCLUDED,
        _RANK["declaration"] if _DECLARATION.search(name) else _NOT_EXCLUDED,
        _RANK["minified"] if _MINIFIED.search(name) else _NOT_EXCLUDED,
    )


def _named_like_test(name: bytes, extension: bytes) -> bool:
    pattern = _TEST_NAME.get(extension)
    return bool(pattern and pattern.fullmatch(name[: -len(extension) - 1]))


@lru_cache(maxsize=1 << 15)
def _folder_rank(above: bytes, extension: bytes) -> tuple[int, bool]:
    """Return the rank by the folders (with the last slash) of a file, and whether it is below a `src/main/`."""
    is_jvm = extension in _JVM
    main = _MAIN_SOURCES.search(above) if is_jvm and b"src/" in above else None
    if main:
        reasons = _shipped_jvm_reasons(above[: main.start() + 1], above[main.end() :])
    else:
        reasons = _folder_reasons(above[:-1], extension)
        if is_jvm and _TEST_SOURCES.search(above):
            reasons.add("test")
    return min((_RANK[reason] for reason in reasons), default=_NOT_EXCLUDED), main is not None


def _shipped_jvm_reasons(above: bytes, packages: bytes) -> set[str]:
    """Return the reasons that apply below a `src/main/`: test and demo projects, and generated packages."""
    parts = above.lower().split(b"/")
    reasons = {reason for part in parts if (reason := _FOLDERS.get(part)) and reason != "test"}
    if b"generated" in packages.split(b"/"):
        reasons.add("generated")
    if any(part.endswith(_DOCUMENTATION_ENDS) for part in parts):
        reasons.add("documentation")
    if _TEST_SOURCES.search(above) or any(part in _PROJECTS or part.endswith(_TEST_PROJECT_ENDS) for part in parts):
        reasons.add("test")
    return reasons


def _folder_reasons(folders: bytes, extension: bytes) -> set[str]:
    parts = folders.lower().split(b"/")
    by_language = _FOLDERS_BY_LANGUAGE.get(extension, _NONE)
    reasons = {
        reason for part in parts if (reason := _FOLDERS.get(part) or by_language.get(part) or _reason_by_suffix(part))
    }
    if reason := _TOP_FOLDERS.get(parts[0]):
        reasons.add(reason)
    if "test" in reasons and not _test_folders_count(parts, extension):
        reasons.discard("test")
    return reasons


def _reason_by_suffix(folder: bytes) -> str | None:
    if folder.endswith(_TEST_PROJECT_ENDS):
        return "test"
    return "documentation" if folder.endswith(_DOCUMENTATION_ENDS) else None


def _test_folders_count(parts: list[bytes], extension: bytes) -> bool:
    """Return whether test folders count: Python ships packages named `test`, Ruby test libraries below `lib/`."""
    if extension == b"py":
        return parts[0] == b"test" or any(part != b"test" and _is_test_folder(part) for part in parts)
    if extension == b"rb" and b"lib" in parts:
        return any(map(_is_test_folder, parts[: parts.index(b"lib")]))
    return True


def _is_test_folder(part: bytes) -> bool:
    return _FOLDERS.get(part) == "test" or part in (b"spec", b"specs") or part.endswith(_TEST_PROJECT_ENDS)
