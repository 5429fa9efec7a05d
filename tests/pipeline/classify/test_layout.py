"""Names that are ambiguous: what stands at the head of a repository decides."""

from __future__ import annotations

import pytest

from pipeline.classify.layout import MAX_READ_FILES, NO_LAYOUT, Layout, read_layout
from pipeline.classify.paths import excluded_path
from tests.rows import each_row

CODE = "x = 1\n"


def layout(files: dict[str, str]) -> Layout:
    return read_layout([path.encode() for path in files], lambda path: files[path.decode()].encode())


def left_out(files: dict[str, str] | str) -> dict[str, str | None]:
    """The reasons for the files of a head; files given as words have some content."""
    tree = dict.fromkeys(files.split(), CODE) if isinstance(files, str) else files
    decided = layout(tree)
    reasons = {path: decided.excluded(path.encode()) for path in tree}
    return {path: reason for path, reason in reasons.items() if reason}


APPLICATIONS = {
    "pods are parts of an Ember application": "app/pods/invoice/route.js app/router.js",
    "a recipe site": "manage.py cookbook/__init__.py cookbook/models.py cookbook/views.py recipes/urls.py",
    "a research site": "website/__init__.py website/project.py api/base.py setup.py",
    "nothing else": "cookbook/a.ts website/b.ts demo/c.ts",
    "vendors are suppliers": "src/Vendor/Vendor.php src/Vendor/Invoice.php src/App.php",
    "vendors have controllers": "app/vendor/vendor_controller.rb app/vendor/vendor_list.rb app/user.rb",
    "fixtures are matches": "manage.py fixtures/models.py fixtures/views.py teams/models.py",
    "fixtures are lamps": "src/fixtures/FixtureService.cs src/fixtures/FixtureList.cs src/Lamp.cs",
    "samples are sounds": "src/samples/SampleRate.ts src/samples/sample-store.ts src/engine.ts",
    "a specification is a document": "src/spec/base.ts src/spec/mark.ts src/compile.ts",
    "examples are questions": "examples/ExampleRepository.java core/Question.java",
    "a tutorial is what it teaches": "tutorial/TutorialPlayer.kt core/Main.kt",
    "external services": "src/external/external_api.cpp src/main.cpp",
    "names that contain a test": "contest/jury.py latest/feed.go attest.py src/protest/Sign.php testbed.py",
}
EXAMPLES = " ".join(f"examples/basic_{n}/main.go" for n in range(30))
NOT_PRODUCT = {
    "CocoaPods": ("Podfile src/a.cpp", "Pods/A/a.cpp Pods/B/b.cpp", "vendored"),
    "installed pods": ("src/a.cpp pods/Manifest.lock", "pods/A/a.cpp", "vendored"),
    "a site of documentation": ("website/docusaurus.config.js src/a.ts", "website/src/pages/index.ts", "documentation"),
    "a site with a package": ("website/package.json lib/a.js", "website/server.js website/models.js", "documentation"),
    "copied libraries": ("src/a.php", "vendor/acme/LICENSE vendor/acme/lib/AService.php", "vendored"),
    "more examples than code": ("a.go " + " ".join(f"pkg/{n}.go" for n in range(25)), EXAMPLES, "documentation"),
    "one file and its examples": (
        "index.js package.json",
        "examples/a.js examples/b.js examples/c.js",
        "documentation",
    ),
    "data of tests": ("src/a.js", "fixtures/dom/index.js fixtures/fiber/app.js", "fixture"),
    "specifications of tests": ("lib/a.rb", "spec/models/user_spec.rb spec/support/auth.rb", "test"),
    "a copy that is nowhere else": ("README.md", "third_party/re2/re2.cc node_modules/a/index.js", "vendored"),
    "dependencies": ("src/a.c lib/b.py", "deps/lua/lua.c external/six/six.py extern/x/y.go", "vendored"),
}


@pytest.mark.parametrize("files", APPLICATIONS.values(), ids=APPLICATIONS)
def test_a_folder_that_is_product_code_is_read(files: str) -> None:
    assert left_out(files) == {}


@pytest.mark.parametrize(("beside", "files", "reason"), NOT_PRODUCT.values(), ids=NOT_PRODUCT)
def test_a_folder_that_is_what_its_name_says_is_left_out(beside: str, files: str, reason: str) -> None:
    source = [path for path in files.split() if not path.endswith(("LICENSE", ".md"))]
    found = left_out(f"{beside} {files}")
    assert {path: found.get(path) for path in source} == dict.fromkeys(source, reason)


def test_a_folder_that_holds_nearly_all_source_is_the_product() -> None:
    product = " ".join(f"examples/engine/part_{n}.cpp" for n in range(60))
    assert left_out(f"{product} tools/build.py") == {}
    assert "examples/engine/part_0.cpp" in left_out(f"{product} " + " ".join(f"src/{n}.cpp" for n in range(20)))


PRODUCT_NAMES = {
    "src/render/hit_test.cpp": "int run(int a) {\n  assert(a);\n  return a;\n}\n",
    "Lab/LabTest.cs": "class LabTest {\n  int Run(int a) => a;\n}\n",
    "growth/ab_test.py": "def run(a):\n    assert a\n    return a\n",
    "src/com/acme/ParameterSpec.java": "class ParameterSpec extends BaseSpec {}\n",
    "src/TestBed.java": "package acme;\nclass TestBed {}\n",
    "src/physics/TestBed.kt": "class TestBed(val world: World)\n",
    "lib/gem_spec.rb": "class GemSpec\n  def name = 'a'\nend\n",
    "src/StressTest.php": "<?php\nclass StressTest {\n  function run() {}\n}\n",
    "src/blood_test.rs": "pub fn run(a: u8) -> u8 { a }\n",
    "src/ab-test.ts": "export const pick = (a: string) => /b/.test(a)\n",
    "gpu/depth_test.cc": '#include "gpu/depth_test.h"\nvoid DepthTest::Enable() {}\n',
}
TESTS = {
    "src/render/hit_test.cpp": "#include <gtest/gtest.h>\nTEST(Hit, Works) {}\n",
    "Lab/LabTest.cs": "using Xunit;\nclass LabTest {\n  [Fact] void Run() {}\n}\n",
    "growth/ab_test.py": "import pytest\n\ndef helper(): ...\n",
    "src/com/acme/ParameterSpec.java": "import org.junit.Test;\nclass ParameterSpec {}\n",
    "src/TestBed.java": "class TestBed extends LabTestCase {}\n",
    "src/flow/FlowSpec.kt": "import io.kotest.core.spec.style.FunSpec\nclass FlowSpec : FunSpec({})\n",
    "lib/gem_spec.rb": "require 'spec_helper'\ndescribe Gem do\nend\n",
    "src/StressTest.php": "<?php\nclass StressTest extends TestCase {}\n",
    "src/blood_test.rs": "#[tokio::test]\nasync fn run() {}\n",
    "src/ab-test.ts": "import { it } from 'vitest'\nit('picks', () => {})\n",
    "gpu/depth_test.cc": "int main(int argc, char** argv) { return 0; }\n",
    "src/a.test.ts": "nothing that looks like a test\n",
    "pkg/a_test.go": "package a\n",
    "pkg/test_a.py": "print('a script')\n",
}


def test_a_file_that_only_its_name_makes_a_test_is_read_if_no_test_is_in_it() -> None:
    assert left_out(PRODUCT_NAMES) == {}


def test_a_file_with_the_name_and_the_content_of_a_test_is_a_test() -> None:
    assert left_out(TESTS) == dict.fromkeys(TESTS, "test")


def test_a_name_is_a_tests_everywhere_if_one_file_under_it_is_a_test() -> None:
    tests = {"a/hit_test.cpp": "TEST(A, B) {}\n", "b/hit_test.cpp": "int run();\n"}
    assert left_out(tests) == dict.fromkeys(tests, "test")


def test_what_cannot_be_read_is_judged_by_its_name() -> None:
    assert read_layout([b"src/hit_test.cpp"], lambda path: None).excluded(b"src/hit_test.cpp") == "test"
    names = [b"src/%05d_test.cpp" % n for n in range(MAX_READ_FILES + 5)]
    decided = read_layout(names, lambda path: b"int run();\n")
    assert [decided.excluded(name) for name in (names[0], names[-1])] == [None, "test"]


def test_types_have_tests_that_no_framework_runs() -> None:
    files = "types/test/index.ts types/index-tests.ts types/test.ts index.test-d.ts test-d/a.ts src/a.tst.ts tsd/a.ts"
    assert left_out(f"{files} src/a.ts") == dict.fromkeys(files.split(), "test")


COPIES = """
    public/js/jquery-1.12.4.js public/js/bootstrap.js public/js/d3.v3.js static/ckeditor/ckeditor.js
    web/static/jquery-3.x.js lib/jquery/core.js static/libs/anything.js wwwroot/lib/slider/slider.js
    assets/js/jquery.validate.js js/chart-2.9.4.js src/sqlite3.c ext/stb_image.h
    lib/zlib/inflate.c public/lodash.core.js
    vendor-js/a.js extlib/a.c public/js/vue.js static/three.js public/lib/prototype.js versioneer.py
    include/libraries/phpmailer/class.phpmailer.php js/jquery-1.12/core.js libs/sqlite3/shell.c
"""
OWN = """
    src/app.js lib/bootstrap.js src/jquery.js js/chart.js public/js/video.js db/migrate-1.2.0.js js/layer2.js
    public/js/jquery.shop.js resources/js/bootstrap.js js/angular/app.js lib/core/a.c src/lib/util.js stb_image.h
    app/assets/javascripts/lib/text.js app/deps/auth.py
"""


@each_row("path", COPIES.split())
def test_a_copied_library_is_vendored_though_not_minified(path: str) -> None:
    assert left_out(f"{path} main.go")[path] == "vendored"


@each_row("path", OWN.split())
def test_own_code_is_read_though_its_name_resembles_a_librarys(path: str) -> None:
    assert path not in left_out(f"{path} main.go")


def test_a_library_is_product_code_in_its_own_repository() -> None:
    own = {"package.json": '{\n  "name": "@acme/underscore.js",\n}', "lib/underscore.js": CODE, "lib/jquery.js": CODE}
    assert left_out(own) == {"lib/jquery.js": "vendored"}


def test_a_banner_that_names_a_release_makes_a_script_among_static_files_a_copy() -> None:
    vue = "/*!\n * Vue.js v2.6.10\n * (c) 2014-2019 Evan You\n * Released under the MIT License.\n */\nvar a\n"
    own = "/*\n * The cart of the shop. Copyright Acme.\n */\nvar b\n"
    files = {"public/js/vue.js": vue, "public/js/cart.js": own, "src/vue.js": vue, "public/js/plain.js": "var c\n"}
    assert left_out(files) == {"public/js/vue.js": "vendored"}


def test_what_is_not_at_the_head_is_judged_by_its_path() -> None:
    assert NO_LAYOUT.excluded(b"cookbook/views.py") == "documentation"
    decided = layout({"cookbook/views.py": CODE, "cookbook/__init__.py": CODE})
    assert decided.excluded(b"cookbook/gone/long/ago.py") is None
    assert decided.excluded(b"docs/gone.py") == "documentation"


def test_the_order_of_the_files_does_not_matter() -> None:
    files = {path: CODE for words in APPLICATIONS.values() for path in words.split()}
    assert layout(files) == layout(dict(reversed(files.items())))


def test_the_first_version_of_the_rules_judges_by_the_path_alone() -> None:
    paths = "app/pods/a.js cookbook/a.py src/hit_test.cpp src/spec/base.ts public/js/jquery-1.12.4.js types/test.ts"
    reasons = [excluded_path(path.encode(), 1) for path in paths.split()]
    assert reasons == ["vendored", "documentation", "test", "test", None, None]
    assert excluded_path(b"deps/six/six.py", 1) is None


def test_a_tree_made_to_hurt_is_read_in_linear_time() -> None:
    deep = "docs/" * 800
    files = [f"{deep}{n}.py".encode() for n in range(200)] + [b"src/" + b"_test" * 800 + b".cpp"]
    blanks = b"\n" * 40_000 + b"import " * 10_000
    assert read_layout(files, lambda path: blanks).product_folders == frozenset()
