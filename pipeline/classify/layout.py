"""What the tree of the head says of names that are ambiguous: which folders and files are product code all the same.

`cookbook/`, `app/pods/`, `src/Vendor/` and `hit_test.cpp` are product code in some repositories and not in others, and
a path alone cannot tell. So a repository is looked at once, at its head, and the decisions hold for its whole history:
the rules stay a pure function of a path and this `Layout`. A folder of an ambiguous name is product code if

- it holds (nearly) all of the repository's source, or there is no other; or
- it is a module of an application: a Python package beside its `setup.py` or `manage.py`, or files directly in it that
  are named after their role (`models.py`, `InvoiceService.cs`) or after the folder (`vendor_list.ts` in `vendor/`); or
- what its name says is not there: `Pods/` without CocoaPods, `spec/` without a single specification.

A file that only its name makes a test is product code if no test is in it (`frameworks`). A copied library is product
code in the library's own repository. Whatever is not at the head is judged by its path alone.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from pipeline.classify.frameworks import holds_tests
from pipeline.classify.paths import excluded_path
from pipeline.classify.third_party import WEB_FOLDERS, library_of
from pipeline.syntax.languages import language_of

MAX_READ_FILES: Final = 1_000  # whose content decides; the rest is judged by its path
NEARLY_ALL: Final = 0.9  # share of the repository's source
FEW_FILES: Final = 20  # examples around a library of one file are still examples
_MOST_PREFIXES: Final = 4  # of a path with ambiguous names; deeper ones keep their meaning
_MOST_DEPTH: Final = 32

_DOCUMENTATION: Final = frozenset(
    b"docs documentation examples example demos demo samples sample tutorials tutorial website playground playgrounds"
    b" cookbook doc".split()
)
_FIXTURES: Final = frozenset(b"fixture fixtures mocks".split())
_VENDORED: Final = frozenset(b"vendor vendors external externals extern deps".split())
_SPECIFICATIONS: Final = frozenset(b"spec specs".split())
_AMBIGUOUS: Final = _DOCUMENTATION | _FIXTURES | _VENDORED | _SPECIFICATIONS | {b"pods"}
# Folders that hold nothing but product code where they are a package; others may hold examples that are packages.
_PACKAGES: Final = frozenset([b"website", b"cookbook"])

_MANIFESTS: Final = frozenset(
    b"package.json manage.py setup.py pyproject.toml go.mod cargo.toml pom.xml build.gradle build.gradle.kts"
    b" composer.json gemfile cmakelists.txt makefile bower.json".split()
)
_THIRD_PARTY_MARKS: Final = frozenset(
    b"license license.txt license.md licence copying copying.txt modules.txt autoload.php bower.json package.json"
    b" composer.json setup.py go.mod cargo.toml gemfile readme readme.md readme.txt readme.rst".split()
)
_SITE_MARKS = re.compile(
    rb"(?:docusaurus\.config|gatsby-config|mkdocs|_config|book|hugo|config|sidebars|next\.config|astro\.config|conf)"
    rb"\.(?:[cm]?[jt]s|json|ya?ml|toml|py)"
)
_ROLE = re.compile(
    rb"^(?:models?|views?|urls|apps|admin|forms|serializers?|controllers?|services?|routes?|router|repository|reducers?"
    rb"|store|handlers?|tasks|middleware|managers?|schemas?)\.\w{1,5}$"
    rb"|(?:Controller|Service|Repository|Manager|Factory|Handler|Provider|Validator|Mapper|Facade|Component|ViewModel)"
    rb"\.\w{1,5}$"
    rb"|[._-](?:controller|service|repository|model|view|module|component|store|reducer|handler|router|routes|manager"
    rb"|factory|provider|validator|mapper|serializer)\.\w{1,5}$"
)
_TEST_NAMED = re.compile(rb"[._-](?:spec|test)s?\b|(?:[a-z0-9]|^)(?:Spec|Test)s?\.\w{1,5}$|spec_helper")
_BANNER = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*(?:/\*[\s\S]{0,600}?\*/|(?://[^\n]{0,200}\n\s*){1,8})")
_VERSION_LINE = re.compile(rb"\A[^\n]{0,80}(?:\n[^\n]{0,160}){0,3}?\bv?\d{1,3}\.\d{1,4}\b")
_RIGHTS = re.compile(rb"licen[sc]e|copyright|\(c\)|https?://", re.IGNORECASE)
_OWN_NAME = re.compile(rb'^\s{0,8}"name"\s*:\s*"([^"\n]{1,200})"', re.MULTILINE)

_SCRIPTS: Final = (b".js", b".jsx", b".ts", b".tsx", b".mjs", b".cjs", b".mts", b".cts")

Read = Callable[[bytes], bytes | None]  # the content of a file of the head by its path


@dataclass(frozen=True)
class Layout:
    """The decisions on ambiguous names. Folders end with a slash."""

    product_folders: frozenset[bytes] = frozenset()
    product_names: frozenset[bytes] = frozenset()  # of files, without folders
    copied_files: frozenset[bytes] = frozenset()  # that say in their first lines that they are another project's
    own_name: bytes = b""  # of the package, in lower case

    def excluded(self, path: bytes) -> str | None:
        """Return why a file is excluded, one of `paths.PRECEDENCE`, or None."""
        if path in self.copied_files:
            return "vendored"
        path = self._without_product_names(path)
        reason = excluded_path(path)
        return reason or ("vendored" if self._is_copy(path) else None)

    def _is_copy(self, path: bytes) -> bool:
        library = library_of(path)
        return library is not None and not (self.own_name and _same_project(library, self.own_name))

    def _without_product_names(self, path: bytes) -> bytes:
        """Return the path with neutral names instead of those that are known to be product code here."""
        folders, slash, name = path.rpartition(b"/")
        if name in self.product_names:
            name = b"_." + name.rpartition(b".")[2]
        if self.product_folders and slash:
            folders = _neutral(folders, self.product_folders)
        return folders + slash + name


NO_LAYOUT: Final = Layout()


def _neutral(folders: bytes, product: frozenset[bytes]) -> bytes:
    parts, prefix = folders.split(b"/"), b""
    for at, part in enumerate(parts):
        prefix += part + b"/"
        if prefix in product:
            parts[at] = b"_"
    return b"/".join(parts)


def _same_project(library: bytes, own: bytes) -> bool:
    return library.partition(b".")[0] == own or own.startswith((library + b"-", library + b".")) or own == library


def read_layout(paths: Iterable[bytes], read: Read) -> Layout:
    """Decide on the ambiguous names in the tree of a head. `paths` are all of its files, in any language."""
    files = sorted(paths)
    source = [path for path in files if language_of(path) is not None]
    own = Layout(own_name=_own_name(set(files), read))
    folders = _product_folders(files, source, own)
    told = Layout(folders, own_name=own.own_name)
    kept = _Kept(told)
    names = _product_names((path for path in source if kept.has(path)), told, read)
    return Layout(folders, names, _copied(source, told, read), own.own_name)


class _Kept:
    """Whether a folder is product code as far as the names of its files do not matter, remembered by folder."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._known: dict[tuple[bytes, bytes], bool] = {}

    def has(self, path: bytes) -> bool:
        folders, slash, name = path.rpartition(b"/")
        key = folders, name.rpartition(b".")[2]
        if key not in self._known:
            self._known[key] = self._layout.excluded(folders + slash + b"_." + key[1]) is None
        return self._known[key]


def _own_name(files: set[bytes], read: Read) -> bytes:
    for manifest in (b"package.json", b"bower.json", b"composer.json"):
        if manifest in files and (found := _OWN_NAME.search((read(manifest) or b"")[:65_536])):
            name = found[1].lower().rpartition(b"/")[2]
            return name.removesuffix(b".js").removesuffix(b"-js")
    return b""


@dataclass
class _Folder:
    """A folder with an ambiguous name, and how many source files only such names exclude below it."""

    path: bytes  # with the last slash
    files: int
    scripts: int  # of them in JavaScript or TypeScript

    @property
    def name(self) -> bytes:
        return self.path[:-1].rpartition(b"/")[2].lower()

    @property
    def above(self) -> bytes:
        return _above(self.path)


def _above(folder: bytes) -> bytes:
    """Return the folder above a folder, b"" for the top of the tree."""
    above, slash, _ = folder[:-1].rpartition(b"/")
    return above + slash


def _product_folders(files: Sequence[bytes], source: Sequence[bytes], own: Layout) -> frozenset[bytes]:
    kept, found = 0, defaultdict[bytes, list[tuple[bytes, ...]]](list)
    scripts = Counter[bytes]()
    ambiguous: list[tuple[bytes, ...]] = []
    prefixes_of: dict[bytes, tuple[bytes, ...]] = {}
    kept_without: dict[tuple[bytes, ...], _Kept] = {}
    for path in source:
        if own.excluded(path) is None:
            kept += 1
            continue
        above = path[: path.rfind(b"/") + 1]
        if above not in prefixes_of:
            prefixes_of[above] = tuple(islice(_ambiguous_prefixes(above), _MOST_PREFIXES))
        prefixes = prefixes_of[above]
        if prefixes and prefixes not in kept_without:
            kept_without[prefixes] = _Kept(Layout(frozenset(prefixes), own_name=own.own_name))
        if prefixes and kept_without[prefixes].has(path):
            ambiguous.append(prefixes)
            for prefix in prefixes:
                found[prefix].append(prefixes)
                scripts[prefix] += path.endswith(_SCRIPTS)
    if not found:
        return frozenset()
    inside = _names_in(files, found)
    folders = [_Folder(path, len(members), scripts[path]) for path, members in found.items()]
    product = {folder.path for folder in folders if _is_module(folder, inside)}
    kept += sum(product.issuperset(prefixes) for prefixes in ambiguous)
    large = set()
    for folder in folders:
        if folder.path not in product and folder.name in _DOCUMENTATION | _FIXTURES:
            freed = product | {folder.path}
            if _holds_the_source(sum(freed.issuperset(prefixes) for prefixes in found[folder.path]), kept):
                large.add(folder.path)
    return frozenset(product | large)


def _ambiguous_prefixes(path: bytes) -> Iterator[bytes]:
    parts = path.split(b"/")[:-1][:_MOST_DEPTH]
    for at, part in enumerate(parts):
        if part.lower() in _AMBIGUOUS:
            yield b"/".join(parts[: at + 1]) + b"/"


def _names_in(files: Iterable[bytes], folders: Mapping[bytes, object]) -> dict[bytes, list[bytes]]:
    """Return the files at any depth of each folder and directly in the folder above it, relative to that one."""
    wanted = {path for folder in folders for path in (folder, _above(folder))}
    inside: dict[bytes, list[bytes]] = {path: [] for path in wanted}
    for path in files:
        if b"" in inside and b"/" not in path:
            inside[b""].append(path)
        prefix = b""
        parts = path.split(b"/")
        for at, part in enumerate(parts[:-1][:_MOST_DEPTH]):
            prefix += part + b"/"
            if prefix in inside and (prefix in folders or at == len(parts) - 2):
                inside[prefix].append(path[len(prefix) :])
    return inside


def _is_module(folder: _Folder, inside: Mapping[bytes, Sequence[bytes]]) -> bool:
    below = inside[folder.path]
    direct = [name for name in below if b"/" not in name]
    beside = {name.lower() for name in inside[folder.above] if b"/" not in name}
    if folder.name == b"pods":
        installed = (b"Manifest.lock", b"Target Support Files/", b"Headers/", b"Local Podspecs/")
        return not beside & {b"podfile", b"podfile.lock"} and not any(name.startswith(installed) for name in below)
    if folder.name in _SPECIFICATIONS:
        return not any(_TEST_NAMED.search(name.rpartition(b"/")[2]) for name in below)
    if {name.lower() for name in direct} & _MANIFESTS:
        return False  # a project of its own: a site, an example, a library
    if folder.name in _VENDORED:
        marks = {name.rpartition(b"/")[2].lower() for name in below} & _THIRD_PARTY_MARKS
        capital = folder.path[:-1].endswith((b"Vendor", b"Vendors")) and b"src" in folder.above.lower().split(b"/")
        return not marks and (capital or _is_named_by_role(folder.name, direct))
    is_site = any(_SITE_MARKS.fullmatch(name) for name in direct)
    if folder.name in _PACKAGES and not is_site and 2 * folder.scripts < folder.files:
        return True
    if b"models.py" in direct or (b"__init__.py" in direct and b"views.py" in direct):
        return bool(beside & {b"manage.py", b"setup.py", b"pyproject.toml"})
    return _is_named_by_role(folder.name, direct)


def _is_named_by_role(folder: bytes, direct: Sequence[bytes]) -> bool:
    """Return whether a third of the source directly in a folder is named after a role or after the folder itself."""
    source = [name for name in direct if language_of(name) is not None]
    stem = folder.removesuffix(b"s")
    telling = sum(
        bool(_ROLE.search(name)) or (stem in name.lower() and name.lower().partition(b".")[0] not in (folder, stem))
        for name in source
    )
    return bool(telling) and 3 * telling >= len(source)


def _holds_the_source(count: int, kept: int) -> bool:
    """Return whether `count` files are (nearly) all of the source, beside `kept` others."""
    return kept == 0 < count or (count >= FEW_FILES and count > NEARLY_ALL * (count + kept))


def _product_names(source: Iterable[bytes], told: Layout, read: Read) -> frozenset[bytes]:
    """Return the names that make files tests, but under which no file of the head holds a test."""
    by_name = defaultdict[bytes, list[bytes]](list)
    for path in source:
        if told.excluded(path) == "test":
            by_name[path.rpartition(b"/")[2]].append(path)
    left, product = MAX_READ_FILES, set()
    for name, named in by_name.items():
        left -= len(named)
        if left < 0:
            break
        if not _SURE.fullmatch(name) and not any(_holds_tests(path, read) for path in named):
            product.add(name)
    return frozenset(product)


# Names that the tools of a language look for: whatever is in them serves tests.
_SURE = re.compile(
    rb".*_test\.go|test_.*\.py|(?:conftest|runtests)\.py|(?:spec_helper|test_helper|rails_helper)\.rb|tests\.rs"
    rb"|.*\.(?:test|spec|e2e|cy|bench|test-d|e2e-spec|stories|tst)(?:\..*)?\.[cm]?[jt]sx?|setup-?tests?\.[cm]?[jt]sx?"
)


_TYPES = re.compile(rb"(?:^|/)(?:types?|typings|@types)/")  # tests of types are checked, not run


def _holds_tests(path: bytes, read: Read) -> bool:
    """Return whether there are tests in a file, or it cannot be told."""
    if path.endswith(_SCRIPTS) and _TYPES.search(path):
        return True
    data = read(path)
    return data is None or holds_tests(path.rpartition(b"/")[2], data)


def _copied(source: Iterable[bytes], told: Layout, read: Read) -> frozenset[bytes]:
    """Return the scripts in folders of static files whose banner names a release: `/*! name v1.2.3, license`."""
    copied, left = set(), MAX_READ_FILES
    for path in source:
        folders, _, name = path.lower().rpartition(b"/")
        parts = folders.split(b"/")
        if not name.endswith((b".js", b".mjs", b".cjs")) or b"src" in parts or b"packages" in parts:
            continue
        if not any(part in WEB_FOLDERS for part in parts) or told.excluded(path) is not None:
            continue
        left -= 1
        if left < 0:
            break
        if _names_a_release(read(path) or b"", told.own_name):
            copied.add(path)
    return frozenset(copied)


def _names_a_release(data: bytes, own_name: bytes) -> bool:
    banner = _BANNER.match(data[:2_000])
    if not banner or (own_name and own_name in banner[0].lower()):
        return False
    text = banner[0].lstrip()
    return bool(_VERSION_LINE.match(text) and _RIGHTS.search(text))
