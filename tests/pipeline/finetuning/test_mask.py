from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.finetuning.mask import mask_names
from pipeline.syntax.languages import LANGUAGES

# language, path, qualified name, code -> masked path, name, code
CASES = [
    (
        ("Python", "a/shop.py", "Shop.pay"),
        "    @once\n    def pay(self, total):\n        '''Pays it.'''\n"
        "        return int(self.total + total) if f'{total} eur' else None\n",
        ("id0/id1.py", "id2.id3"),
        "    @id4\n    def id3(id5, id6):\n        \"\"\n        return id7(id5.id6 + id6) if f'{id6} eur' else None\n",
    ),
    (
        ("JavaScript", "b.js", "Shop.pay"),
        "  async pay(total, {a, b: c} = {}) {\n    return this.x?.$y(`t ${total}`, /ab+/); // hi\n  }",
        ("id0.js", "id1.id2"),
        "  async id2(id3, {id4, id0: id5} = {}) {\n    return this.id6?.$id7(`t ${id3}`, /ab+/); \n  }",
    ),
    (
        ("TypeScript", "b.ts", "Shop.pay"),
        "  private pay(total: number): Map<string, Foo> {\n    return this.x as any;\n  }",
        ("id0.ts", "id1.id2"),
        "  private id2(id3: number): id4<string, id5> {\n    return this.id6 as any;\n  }",
    ),
    (
        ("TSX", "b.tsx", "Shop"),
        "const Shop = (p: Props) => {\n  return <div className={p.x}>Hi<Foo bar='x'/></div>;\n};",
        ("id0.tsx", "id1"),
        "const id1 = (id2: id3) => {\n  return <id4 id5={id2.id6}>Hi<id7 id8='x'/></id4>;\n};",
    ),
    (
        ("Java", "S.java", "S.pay"),
        "  @Override\n  public int pay(List<Foo> x) throws E {\n    return x.size() + 1; /* hi */\n  }",
        ("id0.java", "id0.id1"),
        "  @id2\n  public int id1(id3<id4> id5) throws id6 {\n    return id5.id7() + 1; \n  }",
    ),
    (
        ("Go", "s.go", "Shop.Pay"),
        "func (s *Shop) Pay(x int) (string, error) {\n\treturn s.y[x], nil\n}",
        ("id0.go", "id1.id2"),
        "func (id0 *id1) id2(id3 id4) (id5, id6) {\n\treturn id0.id7[id3], nil\n}",
    ),
    (
        ("C", "s.c", "pay"),
        "static int pay(struct shop *p)\n{\n#define FOO(x) bar(x)\n\tgoto out;\n"
        "out:\n\treturn p->x + sizeof(size_t);\n}",
        ("id0.c", "id1"),
        "static int id1(struct id2 *id3)\n{\n#define id4(id5) id6(id5)\n\tgoto id7;\nid7:\n"
        "\treturn id3->id5 + sizeof(size_t);\n}",
    ),
    (
        ("C++", "s.cpp", "ns.Shop.pay"),
        'int ns::Shop::pay(std::vector<int> &x) const {\n  return x.size() + "x"[0];\n}',
        ("id0.cpp", "id1.id2.id3"),
        'int id1::id2::id3(id4::id5<int> &id6) const {\n  return id6.id7() + "x"[0];\n}',
    ),
    (
        ("Rust", "s.rs", "Shop.pay"),
        "    pub fn pay<'a>(&'a self, x: &str) -> Option<u32> {\n"
        '        print!("{}", x);\n        Some(self.y)\n    }',
        ("id0.rs", "id1.id2"),
        "    pub fn id2<'id3>(&'id3 self, id4: &str) -> id5<u32> {\n"
        '        id6!("{}", id4);\n        id7(self.id8)\n    }',
    ),
    (
        ("C#", "s.cs", "Shop.Pay"),
        '    public async Task<int> Pay(string x)\n    {\n        return await Foo($"a{x}");\n    }',
        ("id0.cs", "id1.id2"),
        '    public async id3<int> id2(string id4)\n    {\n        return await id5($"a{id4}");\n    }',
    ),
    (
        ("Ruby", "s.rb", "Shop.paid?"),
        "  def paid?(x, key: 1)\n    @total = $g + x.map(&:foo) + Foo::BAR\n  end",
        ("id0.rb", "id1.id2"),
        "  def id2(id3, id4: 1)\n    @id5 = $id6 + id3.id7(&:id8) + id9::id10\n  end",
    ),
    (
        ("PHP", "s.php", "Shop.pay"),
        '    public function pay(int $x): ?string\n    {\n        return $this->foo($x) . "a $x" . self::BAR;\n    }',
        ("id0.php", "id1.id2"),
        "    public function id2(int $id3): ?string\n    {\n"
        '        return $id4->id5($id3) . "a $id3" . self::id6;\n    }',
    ),
    (
        ("Kotlin", "s.kt", "Shop.pay"),
        '    override fun pay(x: Int): String? {\n        return x?.let { foo(x) } ?: "none"\n    }',
        ("id0.kt", "id1.id2"),
        '    override fun id2(id3: id4): id5? {\n        return id3?.id6 { id7(id3) } ?: "none"\n    }',
    ),
]


def test_every_name_is_masked_and_everything_else_stays(subtests: pytest.Subtests) -> None:
    for where, code, masked, expected in CASES:
        with subtests.test(where=where, code=code, masked=masked, expected=expected):
            language, path, name = where
            assert mask_names(language, path, name, code) == (*masked, expected)


def test_every_language_has_a_case() -> None:
    assert {case[0][0] for case in CASES} == {language.name for language in LANGUAGES}


PARTS = [
    (
        "JavaScript",
        "export function pay(x: Total): ?Sum {\n  return (x: any);\n}",
        "export function id0(id1: id2): ?id3",
    ),
    ("JavaScript", "  pay: function (x) {\n    return x;\n  },", "  id0: function (id1) {"),
    ("Go", "\tpay: func(x T) {\n\t\tx.y()\n\t},", "\tid0: func(id1 id2) {"),
    (
        "C#",
        "        get\n        {\n            return total;\n        }",
        "        get\n        {\n            return id0;",
    ),
    ("Python", "    total = lambda x: (\n        x,\n    )", "    id0 = lambda id1: ("),
    ("Java", "    public Shop(int x) {\n        y = x;\n    }", "    public id0(int id1) {"),
]


def test_a_function_that_is_not_a_whole_file_is_parsed_correctly() -> None:
    wrong = [
        (language, code, expected)
        for language, code, expected in PARTS
        if not mask_names(language, "", "", code).code.startswith(expected)
    ]
    assert wrong == []


NAME = st.from_regex(r"[a-z]{2,6}[0-9]_", fullmatch=True)
CODE = """\
def {0}({1}, *, {2}=None):
    # the {1} of {3}
    for {4} in {1}.{3}({2}):
        yield {0}({4}, {2}={2}) or 'é'
"""


@given(st.lists(NAME, min_size=5, max_size=5, unique=True), st.lists(NAME, min_size=5, max_size=5, unique=True))
def test_other_names_make_the_same_masked_code(names: list[str], others: list[str]) -> None:
    one = mask_names("Python", f"{names[1]}/{names[2]}.py", f"{names[3]}.{names[0]}", CODE.format(*names))
    other = mask_names("Python", f"{others[1]}/{others[2]}.py", f"{others[3]}.{others[0]}", CODE.format(*others))
    assert one == other
    assert not any(name in part for name in names for part in one)


BROKEN = "def f((((:::: foo bar ''' baz if\n  $$$ qux while"


def test_unparsable_code_loses_its_words_too(subtests: pytest.Subtests) -> None:
    for language in [language.name for language in LANGUAGES]:
        with subtests.test(language=language):
            masked = mask_names(language, "x", "y", BROKEN).code
            left = set(re.findall(r"[a-z]+", re.sub(r"\bid\d+\b", "", masked)))
            assert "foo" not in left
            assert "bar" not in left


def test_code_too_tangled_to_parse_keeps_only_keywords() -> None:
    tangled = "if secret: " + "(" * 60_000 + " secret"
    masked = mask_names("Python", "x.py", "y", tangled).code
    assert "secret" not in masked
    assert masked.startswith("if id")


def test_a_foreign_extension_is_masked_like_a_name() -> None:
    assert mask_names("Python", "a.b/c.secret", "f", "").path == "id0/id1"
    assert mask_names("Python", "a.b/c.py", "f", "").path == "id0/id1.py"


@given(st.text(min_size=1), st.sampled_from([language.name for language in LANGUAGES]))
def test_any_text_can_be_masked(code: str, language: str) -> None:
    assert mask_names(language, "x", "f", code).code.encode("utf-8")
