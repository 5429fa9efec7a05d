"""The languages that are mined, one row each.

A row lists the extensions of a language, its grammar, and tree-sitter patterns of nodes that

- `functions`: are functions with a body, or give a function expression its name (`const f = () => ...`: the whole
  declarator is the function `f`);
- `values`: are function expressions with a name of their own, unless a binding already names them;
- `scopes`: only qualify the names inside of them (classes, modules, impl blocks, objects);
- `wrappers`: belong to the function at their end (decorators, `template <...>`);
- `wrapped`: bind a call, and are functions if it wraps one (`const X = memo(() => ...)`);
- `statements`: are no functions even if `functions` fits them.

pipeline/syntax/dialects.py has the rows that differ by content or by the version of the label rules.

Names come from the field `name` unless `names` overrides it; `comments` and `docstrings` are not code.

Decisions beyond the obvious:

- Closures are functions if a binding names them: variable, property or field, object pair, assignment to a name or
  member (Python lambdas, Go literals, Rust, C++, Java and C# lambdas, PHP and Ruby closures, Kotlin lambdas too).
  Callbacks are not: their lines belong to the function around them.
- An object literal with a name is a scope; `export default` is called `default`.
- Accessors with a body are functions `Property.get`, `Property.set` (C#, Kotlin, since version 2 PHP); an
  expression-bodied C# property is the function `Property`. JavaScript getters and setters share a name and differ by
  ordinal.
- Since version 2 Ruby's `define_method(:x) do` is the function `x`, `X = Struct.new do` and the like are scopes, and
  methods of the class itself are called `self.x`, however they are defined.
- Since version 2 a function that is wrapped in calls is named by its binding (pipeline/syntax/wrapped_calls.py).
- Annotations and attributes inside of the node belong to the function (Java, Kotlin, C#, PHP); those before it do not
  (Rust `#[...]`, TypeScript method decorators).
- Packages and namespaces of Java, Kotlin, Go, C# and PHP do not qualify names: the path identifies them, and turning
  `namespace N { }` into `namespace N;` would rename every function.
- A `.js` file with the pragma `@flow` is parsed with the TSX grammar: on 62 files of one Flow code base it finds 377
  functions and has syntax errors in 10 files, against 276 and 38 with the JavaScript grammar.
- A file of C, `.h` above all, is parsed as C++ if it holds C++ (pipeline/syntax/headers.py): the C grammar finds a
  quarter of fmt's functions, and the C++ grammar fails at `class` or `new` as names in C.
- In C and C++ a block after a macro call within a function (`FOREACH(x, list) {`) is a statement, whatever its grammar
  makes of it; at the top of a file it is a function, named by the macro and its first arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.label_recipe import MINER_VERSION
from pipeline.syntax import names
from pipeline.syntax.names import Namer

_NONE: Mapping[str, Namer] = {}


@dataclass(frozen=True, eq=False)
class Language:
    """One row of the table, compared by identity."""

    name: str
    extensions: tuple[bytes, ...]
    module: str  # of the grammar wheel
    functions: tuple[str, ...]
    scopes: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    wrappers: tuple[str, ...] = ()
    wrapped: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()  # are statements, even where `functions` captures them
    names: Mapping[str, Namer] = field(default_factory=lambda: _NONE)
    scope_names: Mapping[str, Namer] = field(default_factory=lambda: _NONE)  # where they differ from `names`
    comments: frozenset[str] = frozenset({"comment"})
    docstrings: str = ""  # pattern that captures them as @docstring
    blocks: frozenset[str] = frozenset()  # nodes whose children's indentation is code
    clauses: frozenset[str] = frozenset()  # nodes whose own indentation is code
    loader: str = "language"


_JS_VALUE = "[(arrow_function) (function_expression) (generator_function)]"
_JS_KEY = "[(identifier) (member_expression) (subscript_expression)]"


def bound_to(value: str, member: str) -> tuple[str, ...]:
    """Return the patterns that bind a value to a name in JavaScript and TypeScript."""
    return (
        f"(variable_declarator name: (identifier) value: {value})",
        f"(pair key: (_) value: {value})",
        f"(assignment_expression left: {_JS_KEY} right: {value})",
        f"(augmented_assignment_expression left: {_JS_KEY} right: {value})",
        f"(export_statement value: {value})",
        f"({member} value: {value})",
    )


def _script_functions(member: str) -> tuple[str, ...]:
    declared = ("(function_declaration)", "(generator_function_declaration)", "(method_definition)")
    return declared + bound_to(_JS_VALUE, member)


_JS_NAMES: Mapping[str, Namer] = {
    "pair": names.field("key"),
    "assignment_expression": names.field("left"),
    "augmented_assignment_expression": names.field("left"),
    "export_statement": names.constant(b"default"),
}
_JS_VALUES = ("(function_expression name: (_))", "(generator_function name: (_))")
_TS_SCOPES = ("(class_declaration)", "(abstract_class_declaration)", "(internal_module)", "(module)")
_JS_COMMENTS = frozenset({"comment", "html_comment"})


def typescript(name: str, extensions: tuple[bytes, ...], loader: str) -> Language:
    return Language(
        name,
        extensions,
        "tree_sitter_typescript",
        functions=_script_functions("public_field_definition"),
        values=_JS_VALUES,
        scopes=_TS_SCOPES + bound_to("[(object) (class)]", "public_field_definition"),
        names=_JS_NAMES,
        comments=_JS_COMMENTS,
        loader=loader,
    )


CPP_NAMES: Mapping[str, Namer] = {
    "function_definition": names.c_declarator,
    "init_declarator": names.field("declarator"),
    "class_specifier": names.without_arguments(names.field("name")),
    "struct_specifier": names.without_arguments(names.field("name")),
    "union_specifier": names.without_arguments(names.field("name")),
}

LANGUAGES: tuple[Language, ...] = (
    Language(
        "Python",
        (b"py",),
        "tree_sitter_python",
        functions=("(function_definition)", "(assignment left: [(identifier) (attribute)] right: (lambda))"),
        scopes=("(class_definition)",),
        wrappers=("(decorated_definition)",),
        names={"assignment": names.field("left")},
        docstrings="""
            (module . (comment)* . (expression_statement . (string) .) @docstring)
            (function_definition body: (block . (comment)* . (expression_statement . (string) .) @docstring))
            (class_definition body: (block . (comment)* . (expression_statement . (string) .) @docstring))""",
        blocks=frozenset({"block", "module"}),
        clauses=frozenset({"elif_clause", "else_clause", "except_clause", "finally_clause"}),
    ),
    Language(
        "JavaScript",
        (b"js", b"jsx", b"mjs", b"cjs"),
        "tree_sitter_javascript",
        functions=_script_functions("field_definition"),
        values=_JS_VALUES,
        scopes=("(class_declaration)", *bound_to("[(object) (class)]", "field_definition")),
        names={**_JS_NAMES, "field_definition": names.field("property")},
        comments=_JS_COMMENTS,
    ),
    typescript("TypeScript", (b"ts", b"mts", b"cts"), "language_typescript"),
    typescript("TSX", (b"tsx",), "language_tsx"),
    Language(
        "Java",
        (b"java",),
        "tree_sitter_java",
        functions=(
            "(method_declaration body: (_))",
            "(constructor_declaration)",
            "(compact_constructor_declaration)",
            "(variable_declarator value: (lambda_expression))",
        ),
        scopes=(
            "(class_declaration)",
            "(interface_declaration)",
            "(enum_declaration)",
            "(record_declaration)",
            "(annotation_type_declaration)",
            "(enum_constant body: (_))",
        ),
        comments=frozenset({"line_comment", "block_comment"}),
    ),
    Language(
        "Go",
        (b"go",),
        "tree_sitter_go",
        functions=(
            "(function_declaration body: (_))",
            "(method_declaration body: (_))",
            "(short_var_declaration left: (expression_list . (_) .) right: (expression_list . (func_literal) .))",
            "(assignment_statement left: (expression_list . (_) .) right: (expression_list . (func_literal) .))",
            "(var_spec name: (_) value: (expression_list . (func_literal) .))",
            "(keyed_element . (literal_element) . (literal_element (func_literal)))",
        ),
        names={
            "method_declaration": names.go_method,
            "short_var_declaration": names.field("left"),
            "assignment_statement": names.field("left"),
            "keyed_element": names.first_of("literal_element"),
        },
    ),
    Language(
        "C",
        (b"c", b"h"),
        "tree_sitter_c",
        functions=("(function_definition)",),
        names={"function_definition": names.c_declarator},
    ),
    Language(
        "C++",
        (b"cc", b"cpp", b"cxx", b"c++", b"C", b"hh", b"hpp", b"hxx", b"h++", b"H", b"ipp", b"inl", b"tpp"),
        "tree_sitter_cpp",
        functions=(
            "(function_definition body: (_))",
            "(init_declarator declarator: (identifier) value: (lambda_expression))",
        ),
        scopes=(
            "(namespace_definition name: (_))",
            "(class_specifier name: (_) body: (_))",
            "(struct_specifier name: (_) body: (_))",
            "(union_specifier name: (_) body: (_))",
        ),
        wrappers=("(template_declaration)",),
        names=CPP_NAMES,
    ),
    Language(
        "Rust",
        (b"rs",),
        "tree_sitter_rust",
        functions=(
            "(function_item)",
            "(let_declaration pattern: (identifier) value: (closure_expression))",
        ),
        scopes=("(impl_item)", "(trait_item)", "(mod_item)"),
        names={"impl_item": names.rust_impl, "let_declaration": names.field("pattern")},
        comments=frozenset({"line_comment", "block_comment"}),
    ),
    Language(
        "C#",
        (b"cs",),
        "tree_sitter_c_sharp",
        functions=(
            "(method_declaration body: (_))",
            "(constructor_declaration body: (_))",
            "(destructor_declaration body: (_))",
            "(operator_declaration body: (_))",
            "(conversion_operator_declaration body: (_))",
            "(local_function_statement body: (_))",
            "(accessor_declaration body: (_))",
            "(property_declaration value: (arrow_expression_clause))",
            "(indexer_declaration value: (arrow_expression_clause))",
            "(variable_declarator [(lambda_expression) (anonymous_method_expression)] .)",
        ),
        scopes=(
            "(class_declaration)",
            "(struct_declaration)",
            "(record_declaration)",
            "(interface_declaration)",
            "(property_declaration accessors: (_))",
            "(indexer_declaration accessors: (_))",
            "(event_declaration accessors: (_))",
        ),
        names={
            "destructor_declaration": names.prefixed(b"~", "name"),
            "operator_declaration": names.prefixed(b"operator ", "operator"),
            "conversion_operator_declaration": names.prefixed(b"operator ", "type"),
            "indexer_declaration": names.constant(b"this"),
        },
    ),
    Language(
        "Ruby",
        (b"rb",),
        "tree_sitter_ruby",
        functions=(
            "(method)",
            "(singleton_method)",
            "(assignment left: (_) right: (lambda))",
            "(assignment left: (_) right: (call method: (identifier) block: (_)))",
        ),
        scopes=("(class)", "(module)"),
        names={"singleton_method": names.ruby_singleton, "assignment": names.ruby_closure},
    ),
    Language(
        "PHP",
        (b"php",),
        "tree_sitter_php",
        functions=(
            "(function_definition)",
            "(method_declaration body: (_))",
            "(assignment_expression right: [(anonymous_function) (arrow_function)])",
        ),
        scopes=("(class_declaration)", "(trait_declaration)", "(interface_declaration)", "(enum_declaration)"),
        names={"assignment_expression": names.field("left")},
        loader="language_php",
    ),
    Language(
        "Kotlin",
        (b"kt", b"kts"),
        "tree_sitter_kotlin",
        functions=(
            "(function_declaration (function_body))",
            "(secondary_constructor (block))",
            "(getter (function_body))",
            "(setter (function_body))",
            "(property_declaration (variable_declaration) [(lambda_literal) (anonymous_function)] .)",
        ),
        scopes=(
            "(class_declaration)",
            "(object_declaration)",
            "(companion_object)",
            "(enum_entry)",
            "(property_declaration (variable_declaration) (getter))",
            "(property_declaration (variable_declaration) (setter))",
        ),
        names={
            "secondary_constructor": names.constant(b"constructor"),
            "getter": names.constant(b"get"),
            "setter": names.constant(b"set"),
            "companion_object": names.kotlin_companion,
            "property_declaration": names.kotlin_property,
            "enum_entry": names.first_of("identifier"),
        },
        comments=frozenset({"line_comment", "block_comment"}),
    ),
)

_BY_EXTENSION = {extension: language for language in LANGUAGES for extension in language.extensions}


def language_of(path: bytes, version: int = MINER_VERSION) -> Language | None:
    """Return the language of a path by its extension, or None.

    Case matters, as for compilers: `.C` is C++. Since version 2 other extensions are read in any case, as `.PY`.
    """
    _, dot, extension = path.rpartition(b".")
    if not dot:
        return None
    language = _BY_EXTENSION.get(extension)
    return _BY_EXTENSION.get(extension.lower()) if language is None and version >= 2 else language


def source_patterns() -> tuple[str, ...]:
    """Return pathspecs of all source files, for `git log -- PATTERNS`."""
    return tuple(sorted(f"*.{extension.decode()}" for extension in _BY_EXTENSION))
