from __future__ import annotations

from pipeline.syntax import outline as module
from pipeline.syntax.grammars import parser
from pipeline.syntax.hunks import diff_hunks
from pipeline.syntax.languages import LANGUAGES, Language
from pipeline.syntax.outline import FUNCTION, SCOPE, VALUE, WRAPPER, OutlineItem, read_outline, updated_outline
from tests.rows import each_row

PYTHON, JAVASCRIPT = LANGUAGES[:2]
MANY = b"".join(b"def f%d():\n    a = 1\n    return a\n\n\n" % i for i in range(60))


def outline_of(language: Language, data: bytes) -> module.Outline:
    return read_outline(language, parser(language).parse(data).root_node, data)


def updated(language: Language, old: bytes, new: bytes) -> module.Outline:
    hunks = diff_hunks(old, new)
    edited = parser(language).parse(old)
    outline = read_outline(language, edited.root_node, old)
    for h in reversed(hunks):
        new_end = h.old_byte + h.new_byte_end - h.new_byte
        rows = (h.old_start, 0), (h.old_end, 0), (h.old_start + h.new_end - h.new_start, 0)
        edited.edit(h.old_byte, h.old_byte_end, new_end, *rows)
    tree = parser(language).parse(new, edited)
    return updated_outline(language, outline, edited, tree, new, hunks)


def test_an_outline_lists_outer_items_before_inner_ones() -> None:
    source = b"@d\nclass A:\n  def f(self):\n    g = lambda: 1\n"
    assert [(i.kind, i.name) for i in outline_of(PYTHON, source)] == [
        (WRAPPER, ""),
        (SCOPE, "A"),
        (FUNCTION, "f"),
        (FUNCTION, "g"),
    ]


def test_bytes_are_exclusive_and_rows_inclusive() -> None:
    source = b"x = 1\ndef f():\n  return 1\n"
    assert outline_of(PYTHON, source) == (OutlineItem(6, 25, FUNCTION, "f", 1, 2),)


def test_a_binding_comes_before_its_value() -> None:
    source = b"const f = function g() {}\n"
    assert [(i.kind, i.name) for i in outline_of(JAVASCRIPT, source)] == [(FUNCTION, "f"), (VALUE, "g")]


@each_row(
    "new",
    [
        MANY.replace(b"def f30", b"def g30"),
        MANY.replace(b"def f30", b"async def f30"),
        MANY.replace(b"def f0", b"@d\ndef f0"),
        MANY.replace(b"def f59", b"class A:\n  x = 1\n\ndef f59"),
        MANY.replace(b"def f30():\n", b""),
        MANY.replace(b"def f30():\n    a = 1\n    return a\n\n\n", b""),
        MANY.replace(b"a = 1", b"a = 2"),
        MANY.replace(b"return a", b"\n    return a"),
        b"import x\n" + MANY,
        MANY + b"import x\n",
        b"",
    ],
)
def test_an_updated_outline_equals_a_new_one(new: bytes) -> None:
    assert updated(PYTHON, MANY, new) == outline_of(PYTHON, new)
    assert updated(PYTHON, new, MANY) == outline_of(PYTHON, MANY)


def test_items_outside_of_the_change_are_kept() -> None:
    old = outline_of(PYTHON, MANY)
    new = MANY.replace(b"def f30", b"def g30")
    kept = [item for item in updated(PYTHON, MANY, new) if item in set(old)]
    assert len(kept) == 59


def test_a_new_scope_around_existing_code_is_found() -> None:
    old, new = b"f = function () {}\n", b"x = {\nf: function () {}\n}\n"
    assert updated(JAVASCRIPT, old, new) == outline_of(JAVASCRIPT, new)
