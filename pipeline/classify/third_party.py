"""Recognize copies of other projects by their name: libraries that were copied into a web application or into `lib/`.

Names that only a library has (`jquery.js`) count without a version, but only in folders of static files. Names that
people also give to their own code (`chart.js`) count only with a version number. Copies are JavaScript or C; those of
other languages live in folders that `paths` knows. A library's own repository is told apart by `layout`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final

_SCRIPTS: Final = frozenset(b"js mjs cjs".split())
_C: Final = frozenset(b"c h cc cpp cxx hh hpp hxx".split())

# Folders of files that a web server delivers as they are, and folders of copied code.
WEB_FOLDERS: Final = frozenset(
    b"static public assets js javascript javascripts www wwwroot webroot htdocs plugins media lib libs vendor".split()
)
_COPIES: Final = frozenset(b"lib libs ext extlib extlibs external extern externals deps dependencies plugins".split())

_LIBRARIES: Final = (
    b"jquery jqueryui jquery-ui bootstrap ckeditor fckeditor tinymce tiny_mce d3 angular angularjs backbone underscore"
    b" lodash handlebars mustache knockout scriptaculous mootools dojo yui extjs ext-all raphael highcharts highstock"
    b" datatables codemirror mathjax katex leaflet openlayers zepto modernizr html5shiv html5 sweetalert sweetalert2"
    b" fullcalendar dropzone es5-shim es6-shim excanvas swfobject json2 json3 jsoneditor summernote kindeditor ueditor"
    b" wangeditor layui echarts uikit plotly requirejs almond typeahead popper toastr select2 mediaelement swiper"
    b" socket.io sockjs pdfjs fancybox colorbox photoswipe bootbox nprogress cesium babylon polymer vuex axios"
    b" moment momentjs zxcvbn jszip xregexp crypto-js cryptojs flot jqplot jstree jqgrid jqwidgets"
).split()
# Names of libraries that are words: they need a version number.
_WORDS: Final = (
    b"react react-dom vue ember three chart highlight marked ace video clipboard prototype respond semantic"
    b" foundation materialize layer spin pace masonry isotope slick velocity hammer parsley showdown mermaid phaser"
    b" pixi pixijs p5 vis sigma cytoscape c3 nv dc crossfilter rickshaw require ol alpine htmx stimulus turbolinks"
    b" prettify quill froala gsap tweenmax tweenlite filesaver polyfill fetch rxjs redux preact riot inferno svelte"
    b" sammy sinon mocha jasmine qunit sizzle dust nunjucks hogan ejs pouchdb dexie localforage hls dash shaka pdf"
    b" xlsx papaparse mousetrap"
).split()
# Those that are copied without a version so often that they need none in the folders a web server delivers.
_DELIVERED_WORDS = re.compile(
    rb"(?:react(?:-dom)?|vue|ember|prototype|require|three|alpine|htmx|stimulus|marked|ace|sizzle|qunit|mocha|jasmine"
    rb"|preact|phaser|pixi|gsap|velocity|hammer|less|slick|isotope|masonry|turbolinks|nunjucks|mermaid)"
    rb"(?:[-.](?:dev|development|prod|production|umd|esm|global|runtime|core|all|full|debug|js)){0,3}\.[cm]?js"
)
_SERVED: Final = frozenset(b"static public www wwwroot webroot htdocs vendor plugins".split())
_PYTHON_FILE = re.compile(rb"(?:ez_setup|distribute_setup|versioneer)\.py")
_PHP_FOLDERS: Final = frozenset(
    b"smarty phpmailer phpexcel tcpdf fpdf adodb simplepie getid3 htmlpurifier swiftmailer nusoap geshi pclzip"
    b" simplehtmldom simple_html_dom phpseclib guzzle mpdf dompdf pear simpletest".split()
)
_PHP_COPIES: Final = _COPIES | frozenset(b"libraries library inc includes vendors classes".split())

# Folders below which a library is copied as a whole. Frameworks are not here: `js/angular/` is an application.
_FOLDERS: Final = frozenset(
    b"jquery jqueryui jquery-ui ckeditor fckeditor tinymce tiny_mce codemirror mathjax katex highcharts datatables"
    b" fullcalendar summernote kindeditor ueditor wangeditor layui modernizr html5shiv mootools scriptaculous extjs"
    b" sweetalert sweetalert2 dropzone select2 jstree jqgrid jqwidgets jqplot fancybox colorbox photoswipe mediaelement"
    b" openlayers leaflet requirejs swfobject plupload elfinder toastr zeroclipboard bootstrap-datepicker font-awesome"
    b" fontawesome ace-builds pdfjs slickgrid handsontable flot raphael excanvas underscore lodash backbone".split()
)
_C_FOLDERS: Final = frozenset(
    b"zlib libpng libjpeg libtiff freetype sqlite sqlite3 googletest googlemock gtest gmock rapidjson imgui glfw glew"
    b" glm bzip2 expat tinyxml tinyxml2 pugixml jsoncpp nlohmann stb lz4 zstd xxhash mbedtls libuv http_parser catch"
    b" catch2 doctest cmocka miniz minizip cjson jsmn linenoise lua luajit boost eigen eigen3 openssl".split()
)
_C_FILE = re.compile(
    rb"(?:sqlite3(?:ext)?|stb_[a-z_]+|miniz|cJSON|tinyxml2|linenoise|lodepng|gtest-all|gmock-gtest-all|catch_amalgamated)"
    rb"\.(?:c|cc|cpp|h|hpp)"
)

_NAMES: Final = b"|".join(re.escape(name) for name in sorted(_LIBRARIES, key=lambda n: (-len(n), n)))
_ALL_NAMES: Final = b"|".join(re.escape(name) for name in sorted(_LIBRARIES + _WORDS, key=lambda n: (-len(n), n)))
_VARIANT: Final = (
    rb"(?:[-._](?:slim|core|all|full|debug|src|source|umd|esm|cjs|amd|iife|bundle|bundled|global|runtime|dev|development"
    rb"|prod|production|common|compat|custom|compiled|packed|standalone|latest|js|min|ui|lite|basic|x)){0,4}"
)
_PLUGINS: Final = (
    rb"jquery[-.](?:ui|validate|validation|cookie|form|easing|mousewheel|datatables|flot|tmpl|fancybox|colorbox|lightbox"
    rb"|autocomplete|placeholder|timepicker|fileupload|scrollto|color|metadata|tablesorter|treeview|jqgrid|hotkeys"
    rb"|history|blockui|maskedinput|inputmask|migrate|mobile|slimscroll|nicescroll|knob|sparkline|slides|cycle|masonry"
    rb"|isotope|lazyload|waypoints|magnific-popup|qtip|noty|gritter|pjax|timeago|tagsinput|tokeninput|transit"
    rb"|touchswipe|unobtrusive-ajax|iframe-transport|event|jscrollpane|appear|countdown|countto|hoverintent|ba|jeditable"
    rb"|bgiframe|chosen|sortable|tooltip|tipsy|datepicker|multiselect|tools|corner|dimensions|livequery)\b[^/]{0,80}"
    rb"|bootstrap-(?:datepicker|datetimepicker|daterangepicker|select|table|multiselect|tagsinput|switch|slider|typeahead"
    rb"|timepicker|colorpicker|wysihtml5|wysiwyg|tooltip|modal|dropdown|collapse|tab|transition|affix|alert|button"
    rb"|carousel|popover|scrollspy|dialog|notify|treeview|toggle|fileinput|editable|confirmation)[^/]{0,80}"
    rb"|angular-(?:route|resource|animate|sanitize|cookies|mocks|touch|messages|aria|loader|scenario|translate"
    rb"|ui-router|file-upload|local-storage|i18n|locale)[^/]{0,80}"
)
_UNVERSIONED = re.compile(rb"(?:(?:%s)%s|%s)\.[cm]?js" % (_NAMES, _VARIANT, _PLUGINS), re.IGNORECASE)
_VERSIONED = re.compile(
    rb"(?:(?:%s)(?:[-._][a-z]{1,20}){0,3}[-._]?v?\d{1,4}(?:\.(?:\d{1,6}|x)){0,3}"
    rb"|(?:%s)(?:[-._][a-z]{1,20}){0,2}[-._]v?\d{1,4}\.(?:\d{1,6}|x)(?:\.(?:\d{1,6}|x)){0,2})"
    rb"(?:[-._][a-z0-9]{1,20}){0,4}\.[cm]?js" % (_NAMES, _ALL_NAMES),
    re.IGNORECASE,
)
_DOTTED = re.compile(rb"\d\.(?:\d|x)|[-._]v\d")  # a version that is more than the digit of `moment2.js`
_VERSION_AT_END = re.compile(rb"[-._]?v?\d{1,4}(?:\.(?:\d{1,6}|x)){0,3}$")  # `jquery-1.12` is `jquery`
_STATIC_LIBS = re.compile(
    rb"(?:^(?:static|public|www|webroot|htdocs)/(?:(?:js|javascripts?|scripts)/)?lib/|(?:^|/)wwwroot/(?:js/)?libs?/"
    rb"|(?:^|/)(?:static|public|assets|www|webroot|htdocs|js)/(?:(?:js|javascripts?|scripts)/)?libs/)"
)


def library_of(path: bytes) -> bytes | None:
    """Return the name of the library of which a file is a copy, in lower case, or None if it does not look like one."""
    folders, _, name = path.rpartition(b"/")
    extension = name.rpartition(b".")[2].lower()
    if extension in _SCRIPTS:
        lower, folders = name.lower(), folders.lower()
        exact = _VERSIONED.fullmatch(lower)
        if exact and _DOTTED.search(lower):
            return _stem(lower)
        if (exact or _UNVERSIONED.fullmatch(lower)) and _is_delivered(folders.split(b"/"), lower):
            return _stem(lower)
        if _DELIVERED_WORDS.fullmatch(lower) and not _SERVED.isdisjoint(folders.split(b"/")):
            return _stem(lower)
        return _script_folder(folders)
    if extension == b"py":
        return name.partition(b".")[0] if _PYTHON_FILE.fullmatch(name) else None
    if extension == b"php":
        return _folder_library(folders.lower(), _PHP_COPIES, _PHP_FOLDERS)
    if extension not in _C or not folders:
        return None
    return _stem(name.lower()) if _C_FILE.fullmatch(name) else _folder_library(folders.lower(), _COPIES, _C_FOLDERS)


@lru_cache(maxsize=1 << 14)
def _script_folder(folders: bytes) -> bytes | None:
    """Return the library to which a folder belongs, by its path in lower case."""
    found = _folder_library(folders, WEB_FOLDERS, _FOLDERS)
    return found or (b"libs" if _STATIC_LIBS.search(folders + b"/") else None)


@lru_cache(maxsize=1 << 14)
def _folder_library(folders: bytes, copies: frozenset[bytes], libraries: frozenset[bytes]) -> bytes | None:
    for above, folder in pairwise(folders.split(b"/")):
        if above in copies:
            library = folder if folder in libraries else _VERSION_AT_END.sub(b"", folder[:60])
            if library in libraries:
                return library
    return None


def _is_delivered(folders: list[bytes], name: bytes) -> bool:
    """Return whether a file is in a folder of static files. `lib/bootstrap.js` is how programs name their start."""
    if not {b"src", b"packages", b"resources"}.isdisjoint(folders):
        return False
    if name == b"bootstrap.js":
        return any(folder in WEB_FOLDERS and folder not in _COPIES for folder in folders)
    return any(folder in WEB_FOLDERS for folder in folders)


def _stem(name: bytes) -> bytes:
    """Return the first word of a file's name: `jquery.ui.core.js` is `jquery`."""
    found = re.match(rb"[a-z_]+\d?(?=[-._v\d])", name)
    return found[0] if found else name
