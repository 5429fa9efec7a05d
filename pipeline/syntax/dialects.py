"""The row to parse a file with: by its content, and by the version of the label rules."""

from __future__ import annotations

import re
from dataclasses import replace

from pipeline.label_recipe import MINER_VERSION
from pipeline.syntax import names
from pipeline.syntax.c_definitions import definition_name
from pipeline.syntax.headers import holds_cpp
from pipeline.syntax.languages import CPP_NAMES, Language, bound_to, language_of, typescript


def _row(extension: str) -> Language:
    language = language_of(f".{extension}".encode())
    assert language is not None, extension
    return language


def _with_wrapped(language: Language, member: str, call: str = "(call_expression)") -> Language:
    """Return a row that knows functions wrapped in calls too."""
    return replace(language, wrapped=bound_to(call, member))


# JavaScript with Flow types: the JavaScript grammar fails at every annotation, the TypeScript one parses nearly all.
_FLOW = typescript("JavaScript", (), "language_tsx")
_FLOW_PRAGMA = re.compile(rb"^[\s/*]*@flow\b", re.MULTILINE)
_PRAGMA_HEAD_BYTES = 2_048


def _with_ruby_blocks(language: Language) -> Language:
    """Return a row that knows methods and classes defined by calls, and tells class methods from instance methods."""
    factory = "right: (call receiver: (_) method: (identifier) block: (_))"
    return replace(
        language,
        functions=(
            *language.functions,
            "(call method: (identifier) arguments: (argument_list . (_)) block: (_))",
            "(call method: (identifier) arguments: (argument_list . (_) . (lambda)))",
        ),
        scopes=(
            *language.scopes,
            "(singleton_class)",
            f"(assignment left: [(constant) (scope_resolution)] {factory})",
            f"(operator_assignment left: (constant) {factory})",
            "(call !receiver !arguments method: (identifier) block: (_))",
            "(call !receiver method: (identifier)"
            " arguments: (argument_list . [(constant) (scope_resolution) (simple_symbol)]) block: (_))",
        ),
        names={**language.names, "singleton_method": names.ruby_singleton_2, "call": names.ruby_defined_method},
        scope_names={
            "singleton_class": names.field("value"),
            "assignment": names.ruby_class_of_call,
            "operator_assignment": names.ruby_class_of_call,
            "call": names.ruby_block_scope,
        },
    )


def _with_property_hooks(language: Language) -> Language:
    """Return a row that knows the hooks of PHP 8.4."""
    return replace(
        language,
        functions=(*language.functions, "(property_hook body: (_))"),
        scopes=(
            *language.scopes,
            "(property_declaration (property_hook_list))",
            "(property_promotion_parameter (property_hook_list))",
        ),
        names={
            **language.names,
            "property_hook": names.first_of("name"),
            "property_declaration": names.php_property,
            "property_promotion_parameter": names.php_property,
        },
    )


# Macros that define functions, and those that are statements.
_C_2 = replace(
    _row("c"),
    names={"function_definition": definition_name},
    statements=(
        "(compound_statement"
        " (function_definition type: (type_identifier) declarator: (parenthesized_declarator)) @statement)",
    ),
)
_CPP_2 = replace(
    _row("cpp"),
    names={**CPP_NAMES, "function_definition": definition_name},
    statements=("(compound_statement (function_definition !type) @statement)",),
)

# The rows that differ since version 2 of the label rules.
_SINCE_2 = {
    **{
        language: _with_wrapped(
            language, "public_field_definition", "[(call_expression) (as_expression (call_expression))]"
        )
        for language in (_row("ts"), _row("tsx"), _FLOW)
    },
    _row("js"): _with_wrapped(_row("js"), "field_definition"),
    _row("rb"): _with_ruby_blocks(_row("rb")),
    _row("php"): _with_property_hooks(_row("php")),
    _row("c"): _C_2,
    _row("cpp"): _CPP_2,
}


def dialect(language: Language, data: bytes, version: int = MINER_VERSION) -> Language:
    """Return the row to parse a file with.

    JavaScript with the pragma `@flow` at its top is typed; since version 2, a file of C can hold C++.
    """
    if language.name == "JavaScript" and _FLOW_PRAGMA.search(data, 0, _PRAGMA_HEAD_BYTES):
        language = _FLOW
    if version < 2:
        return language
    return _CPP_2 if language.name == "C" and holds_cpp(data) else _SINCE_2.get(language, language)
