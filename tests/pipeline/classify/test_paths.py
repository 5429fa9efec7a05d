"""The paths that are excluded by default, and the reasons."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.classify.paths import PRECEDENCE, excluded_path, is_test_path
from tests.rows import each_row

TESTS = """
    tests/test_app.py test/client.py pkg/tests/support/models.py pkg/test_views.py pkg/views_test.py pkg/conftest.py
    app/tests.py pkg/test/test_client.py net/http/server_test.go test/ken/array.go
    src/test/java/org/acme/Support.java core/src/FooTest.java core/src/FooTests.java core/src/OrderIT.java
    core/src/TestFoo.java src/intTest/java/org/acme/Flow.java src/commonTest/kotlin/Flow.kt src/androidTest/java/A.java
    src/test/resources/projects/one/src/main/java/org/acme/Main.java smoke-test/web/src/main/java/org/acme/Web.java
    acme-tests/acme-integration-tests/src/main/java/org/acme/Run.java src/FlowSpec.kt
    src/a.test.ts src/a.spec.tsx src/a.e2e.ts src/a.cy.js src/a.test-d.ts src/__tests__/a.js src/ReactDOM-test.js
    src/ReactDOM-test.internal.js e2e/login.ts spec/javascripts/a.js src/a_test.ts benchmarks/router.ts src/a.bench.ts
    src/Button.stories.tsx spec/models/user_spec.rb spec/support/auth.rb test/models/user_test.rb lib/a/user_spec.rb
    tests/Unit/UserTest.php src/Acme/Tests/Kernel.php src/UserTest.php Acme.Tests/Users.cs src/Acme.Test/Users.cs
    src/UserTests.cs src/tests.rs tests/cli.rs benches/parse.rs src/parser/tests.rs
    tests/jv.c src/jv_test.c src/test_main.c src/base/string_unittest.cc src/StringTest.cpp crates/acme-bench/src/lib.rs
"""
FIXTURES = """
    tests/fixtures/app.py src/__fixtures__/a.js transforms/__testfixtures__/a.input.js src/go/doc/testdata/a.go
    src/__snapshots__/a.js src/__mocks__/fs.js internal/mocks/store.go spec/fixtures/a.rb test/data/testdata/a.c
"""
GENERATED = """
    api/user.pb.go api/user_pb2.py api/user_pb2_grpc.py api/user.pb.cc api/user_pb.js api/zz_generated.deepcopy.go
    src/types.generated.ts src/routeTree.gen.ts src/generated/client.ts src/__generated__/query.ts api/Form1.Designer.cs
    obj/Acme.g.cs Properties/AssemblyInfo.cs bindata.go ui/assets_bindata.go src/lex.yy.c src/gram.tab.c ui/dist/app.js
    deno_dist/hono.ts src/main/java/org/acme/generated/Query.java moc_window.cpp packages/a/dist/index.mjs
"""
VENDORED = """
    vendor/github.com/acme/a/a.go src/cmd/vendor/golang.org/x/a.go third_party/re2/re2.cc 3rdparty/zlib/inflate.c
    node_modules/a/index.js sub/node_modules/a/index.js Godeps/_workspace/a.go pip/_vendor/six.py
    sklearn/externals/six.py web/bower_components/a/a.js .yarn/releases/yarn.cjs lib/python3/site-packages/a.py
    deps/jemalloc/src/arena.c external/fmt/format.cc packages/next/src/compiled/ws/index.js Pods/A/a.cpp
    tests/vendor/a.js
"""
MINIFIED = (
    "static/jquery.min.js static/jquery-min.js lib/app.bundle.js tests/a.min.mjs js/a.min.3f2a.js vendor/a.min.js"
)
DOCUMENTATION = """
    docs/conf.py doc/sphinxext/a.py sample/main.go examples/basic/main.go packages/a/example/index.ts demo/app.js
    samples/web/src/main/java/org/acme/Main.java acme-samples/web/src/main/java/org/acme/Main.java src/docs/java/A.java
    website/src/a.tsx playground/hmr/a.ts packages/sfc-playground/src/main.ts tutorial/flaskr/db.py dev-docs/src/a.js
    _examples/a/main.go acme-docs/src/main/java/org/acme/Example.java
"""
DECLARATIONS = (
    "src/index.d.ts types/a.d.mts a.d.cts src/a.pyi src/style.d.css.ts flow-typed/npm/a.js tests/globals.d.ts"
)
KEPT = """
    django/test/client.py django/test/utils.py src/flask/testing.py numpy/testing/_private.py cpython/unittest/case.py
    django/contrib/admin/views/main.py sales/migrations/0001_initial.py setup.py contest.py latest.py attest/core.py
    core/spring-boot-test/src/main/java/org/springframework/boot/test/context/SpringBootTest.java
    src/main/java/com/example/demo/DemoApplication.java src/main/java/com/acme/vendor/VendorService.java
    src/main/kotlin/org/acme/fixtures/Builder.kt src/commonMain/kotlin/org/acme/test/Runner.kt
    test/web/src/main/java/org/acme/TestServer.java src/Contest.java src/Latest.kt src/AUDIT.java
    src/cmd/dist/build.go src/cmd/doc/main.go src/go/doc/reader.go src/testing/testing.go net/httptest/server.go
    src/spec/parser.go internal/deps/graph.go internal/gen/rules.go pkg/mock/mock.go cmd/external/run.go
    test_helpers.go
    packages/next/build/webpack.ts packages/react-dom/test-utils.js src/test-utils/render.ts src/latest.ts src/spec.ts
    packages/create-vite/template-react/src/main.jsx src/vs/base/common/strings.ts scripts/release.js src/a.template.ts
    lib/rack/test/utils.rb lib/rspec/spec/runner.rb lib/minitest.rb app/models/contest.rb
    src/Contest.php src/Protest.php src/Latest.cs Acme.Testing/Clock.cs src/contest.rs src/test_support.rs
    src/jv.c src/attest.c contrib/minizip/zip.c src/contest.cpp include/acme/acme.h README.md Makefile
"""


def table() -> list[tuple[str, str | None]]:
    groups = (
        ("test", TESTS),
        ("fixture", FIXTURES),
        ("generated", GENERATED),
        ("vendored", VENDORED),
        ("minified", MINIFIED),
        ("documentation", DOCUMENTATION),
        ("declaration", DECLARATIONS),
        (None, KEPT),
    )
    return [(path, reason) for reason, paths in groups for path in paths.split()]


@each_row(("path", "reason"), table())
def test_a_path_is_excluded_for_its_reason(path: str, reason: str | None) -> None:
    assert excluded_path(path.encode()) == reason


@each_row("path", [b"Tests/A.php", b"TESTS/a.py", b"pkg/Fixtures/a.js", b"Docs/a.py", b"Vendor/a.go"])
def test_folder_names_are_case_insensitive(path: bytes) -> None:
    assert excluded_path(path) is not None


@each_row(
    ("path", "serves_tests"),
    [
        (b"tests/test_a.py", True),
        (b"tests/fixtures/a.py", True),
        (b"src/a.py", False),
        (b"docs/conf.py", False),
        (b"vendor/a/a_test.go", False),
    ],
)
def test_a_test_path_is_a_test_or_a_fixture(path: bytes, serves_tests: bool) -> None:
    assert is_test_path(path) is serves_tests


@each_row("name", [b"server", b"parser", b"user_model"])
@each_row("ext", [b"py", b"go", b"java", b"kt", b"cs", b"rb", b"php", b"rs", b"js", b"tsx", b"c", b"cpp"])
def test_a_plain_source_file_is_kept_in_every_language(name: bytes, ext: bytes) -> None:
    assert excluded_path(b"src/core/" + name + b"." + ext) is None


@given(st.binary(max_size=300))
def test_any_path_has_a_known_reason_or_none(path: bytes) -> None:
    assert excluded_path(path) in (None, *PRECEDENCE)
    assert is_test_path(path) == (excluded_path(path) in ("test", "fixture"))


PARTS = st.sampled_from(
    [b"src", b"lib", b"core", b"tests", b"docs", b"vendor", b"fixtures", b"acme-tests", b"generated"]
)


@given(st.lists(PARTS, max_size=5), st.sampled_from([b"a.go", b"a.ts", b"a.rs", b"a.cs", b"a_test.go", b"a.min.js"]))
def test_an_excluded_folder_excludes_everything_below_it(folders: list[bytes], name: bytes) -> None:
    path = b"/".join([*folders, name])
    for below in (b"vendor/", b"node_modules/", b"third_party/"):
        assert excluded_path(below + path) in ("vendored", "minified")
    if excluded_path(path) is not None:
        assert excluded_path(b"src/" + path) is not None


def test_a_path_of_many_thousand_folders_is_classified() -> None:
    assert excluded_path(b"a/" * 20_000 + b"a.py") is None
    assert excluded_path(b"a/" * 20_000 + b"tests/a.py") == "test"
    assert excluded_path(b"src/main/" * 20_000 + b"A.java") is None
