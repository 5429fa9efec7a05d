"""The constructs that structure metrics count, one row per grammar.

A row is a tree-sitter query whose captures classify nodes (docs/reference/metrics.md explains them):

- `@function`: a function of any kind, named or not; a `return` directly in its body is its regular end;
- `@inline`: a closure whose `return` leaves the function around it (Ruby blocks, Kotlin lambdas);
- `@branch`: an `if`, a decision and a level; `@again`: an `else if`, which opens no level of its own;
- `@loop`: a decision and a level, which `break` leaves;
- `@switch`: a level, in which `break` ends a case and is no exit; `@block`: a level;
- `@decision`: a decision; `@arm`: a decision unless it is the wildcard `_` without a condition;
- `@return`: an exit unless directly in the body of its function; `@break`: unless it ends a case; `@exit`: always;
- `@call`: a called name; `@path`: a called path, of which the last part counts; `@bare`: a name called without a
  receiver; `@word`: a statement that is a single name. `@bare` and `@word` are exits if listed in the row's `leaving`;
- `@parameter`: a parameter of the function around it, unless its name is one of `not_parameters`.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.syntax.languages import Language


@dataclass(frozen=True, eq=False)
class Constructs:
    """One row of the table."""

    query: str
    leaving: frozenset[bytes] = frozenset()
    not_parameters: frozenset[bytes] = frozenset()
    not_calls: frozenset[bytes] = frozenset()


def constructs(language: Language) -> Constructs:
    """Return the row of a language. TypeScript and TSX share one."""
    return _BY_GRAMMAR[language.module]


def _with_parameters(types: str, parameters: str) -> str:
    """Return patterns for several types of functions with the same layout of parameters."""
    return "\n".join(f"({name}) @function\n({name} {parameters})" for name in types.split())


_PYTHON = """
[(function_definition) (lambda)] @function
(function_definition parameters: (parameters [(identifier) (default_parameter) (typed_parameter)
  (typed_default_parameter) (list_splat_pattern) (dictionary_splat_pattern) (tuple_pattern)] @parameter))
(lambda parameters: (lambda_parameters [(identifier) (default_parameter) (list_splat_pattern)
  (dictionary_splat_pattern) (tuple_pattern)] @parameter))
(if_statement) @branch
[(for_statement) (while_statement)] @loop
[(try_statement) (with_statement) (match_statement)] @block
[(elif_clause) (except_clause) (conditional_expression) (boolean_operator) (for_in_clause) (if_clause)] @decision
(case_clause) @arm
(return_statement) @return
[(break_statement) (continue_statement) (raise_statement)] @exit
(call function: [(identifier) @call (attribute attribute: (identifier) @call)])
"""

_SCRIPT = (
    _with_parameters(
        "function_declaration generator_function_declaration function_expression generator_function arrow_function"
        " method_definition",
        "parameters: (formal_parameters (_) @parameter)",
    )
    + """
(arrow_function parameter: (identifier) @parameter)
(if_statement) @branch
(else_clause (if_statement) @again)
[(for_statement) (for_in_statement) (while_statement) (do_statement)] @loop
(switch_statement) @switch
[(try_statement) (with_statement)] @block
[(switch_case) (catch_clause) (ternary_expression)] @decision
(binary_expression operator: ["&&" "||" "??"]) @decision
(augmented_assignment_expression operator: ["&&=" "||=" "??="]) @decision
(return_statement) @return
(break_statement) @break
(break_statement (statement_identifier)) @exit
[(continue_statement) (throw_statement)] @exit
(call_expression function: [(identifier) (super)] @call)
(call_expression function: (member_expression property: (_) @call))
(new_expression constructor: [(identifier) @call (member_expression property: (_) @call)])
"""
)

_TYPESCRIPT = (
    _SCRIPT
    + """
(call_expression function: (non_null_expression [(identifier) @call (member_expression property: (_) @call)]))
"""
)

_JAVA = (
    _with_parameters(
        "method_declaration constructor_declaration lambda_expression",
        "parameters: (formal_parameters [(formal_parameter) (spread_parameter)] @parameter)",
    )
    + """
(compact_constructor_declaration) @function
(lambda_expression parameters: [(identifier) @parameter (inferred_parameters (identifier) @parameter)])
(if_statement) @branch
(if_statement alternative: (if_statement) @again)
[(for_statement) (enhanced_for_statement) (while_statement) (do_statement)] @loop
(switch_expression) @switch
[(try_statement) (try_with_resources_statement) (synchronized_statement)] @block
[(catch_clause) (ternary_expression) (guard)] @decision
(switch_label "case") @decision
(binary_expression operator: ["&&" "||"]) @decision
(return_statement) @return
(break_statement) @break
(break_statement (identifier)) @exit
[(continue_statement) (throw_statement)] @exit
(method_invocation name: (identifier) @call)
(explicit_constructor_invocation constructor: (_) @call)
(object_creation_expression type: [(type_identifier) @call (scoped_type_identifier (type_identifier) @call .)
  (generic_type [(type_identifier) @call (scoped_type_identifier (type_identifier) @call .)])])
"""
)

_GO = (
    _with_parameters(
        "function_declaration method_declaration func_literal",
        "parameters: (parameter_list [(parameter_declaration name: (_) @parameter)"
        " (parameter_declaration !name) @parameter (variadic_parameter_declaration) @parameter])",
    )
    + """
(if_statement) @branch
(if_statement alternative: (if_statement) @again)
(for_statement) @loop
[(expression_switch_statement) (type_switch_statement) (select_statement)] @block
[(expression_case) (type_case) (communication_case)] @decision
(binary_expression operator: ["&&" "||"]) @decision
(return_statement) @return
[(break_statement) (continue_statement) (goto_statement)] @exit
(call_expression function: [(identifier) @bare (selector_expression field: (_) @call)])
(call_expression function: (index_expression operand: [(identifier) @call (selector_expression field: (_) @call)]))
(call_expression function: (parenthesized_expression (identifier) @call))
"""
)

_C_STATEMENTS = """
(function_definition) @function
(if_statement) @branch
(else_clause (if_statement) @again)
[(for_statement) (while_statement) (do_statement)] @loop
(switch_statement) @switch
(case_statement value: (_)) @decision
(conditional_expression) @decision
(return_statement) @return
(break_statement) @break
[(continue_statement) (goto_statement)] @exit
(call_expression function: [(identifier) @bare (field_expression field: (field_identifier) @call)])
"""


def _declared(parameters: str) -> str:
    """Return patterns for the parameters of a definition that may return a pointer, pointer to pointer or reference."""
    declarator = f"(function_declarator parameters: (parameter_list {parameters} @parameter))"
    nested = [declarator, f"(_ {declarator})", f"(_ (_ {declarator}))"]
    return "\n".join(f"(function_definition declarator: {pattern})" for pattern in nested)


_C = (
    _C_STATEMENTS
    + _declared("[(parameter_declaration) (identifier)]")
    + """
(binary_expression operator: ["&&" "||"]) @decision
"""
)

_CPP_PARAMETERS = "[(parameter_declaration) (optional_parameter_declaration) (variadic_parameter_declaration)]"
_CPP = (
    _C_STATEMENTS
    + _declared(_CPP_PARAMETERS)
    + f"(lambda_expression declarator: (_ parameters: (parameter_list {_CPP_PARAMETERS} @parameter)))"
    + """
(lambda_expression) @function
(for_range_loop) @loop
(try_statement) @block
(catch_clause) @decision
(binary_expression operator: ["&&" "||" "and" "or"]) @decision
(co_return_statement) @return
(throw_statement) @exit
(call_expression function: [(template_function name: (identifier) @call) (qualified_identifier) @path])
(call_expression function: (field_expression field: [(template_method name: (_) @call) (qualified_identifier) @path
  (dependent_name (template_method name: (_) @call))]))
(new_expression type: [(type_identifier) @call (template_type name: (_) @call) (qualified_identifier) @path])
"""
)

_RUST = """
[(function_item) (closure_expression)] @function
(function_item parameters: (parameters (parameter) @parameter))
(closure_expression parameters: (closure_parameters (_) @parameter))
(if_expression) @branch
(else_clause (if_expression) @again)
(let_declaration alternative: (block) @branch)
[(for_expression) (while_expression) (loop_expression)] @loop
(match_expression) @block
(match_arm) @arm
(match_pattern condition: (_)) @decision
(try_expression) @decision @exit
(binary_expression operator: ["&&" "||"]) @decision
(let_chain "&&" @decision)
(return_expression) @return
[(break_expression) (continue_expression)] @exit
(call_expression function: [(identifier) @call (scoped_identifier name: (_) @call) (field_expression field: (_) @call)])
(call_expression function: (generic_function function: [(identifier) @call (scoped_identifier name: (_) @call)
  (field_expression field: (_) @call)]))
(macro_invocation macro: [(identifier) @bare (scoped_identifier name: (_) @bare)])
"""

_CSHARP = (
    _with_parameters(
        "method_declaration constructor_declaration operator_declaration conversion_operator_declaration"
        " local_function_statement lambda_expression anonymous_method_expression",
        "parameters: (parameter_list [(parameter) @parameter name: (identifier) @parameter])",
    )
    + """
[(destructor_declaration) (accessor_declaration)] @function
(property_declaration value: (arrow_expression_clause)) @function
(indexer_declaration value: (arrow_expression_clause)) @function
(indexer_declaration parameters: (bracketed_parameter_list (parameter) @parameter))
(lambda_expression parameters: (implicit_parameter) @parameter)
(if_statement) @branch
(if_statement alternative: (if_statement) @again)
[(for_statement) (foreach_statement) (while_statement) (do_statement)] @loop
(switch_statement) @switch
[(switch_expression) (try_statement) (using_statement) (lock_statement) (fixed_statement)] @block
[(catch_clause) (catch_filter_clause) (conditional_expression) (when_clause)] @decision
(switch_section "case" @decision)
(switch_expression_arm) @arm
(binary_expression operator: ["&&" "||" "??"]) @decision
(assignment_expression operator: "??=") @decision
(return_statement) @return
(yield_statement "break") @return
(break_statement) @break
[(continue_statement) (goto_statement) (throw_statement) (throw_expression)] @exit
(invocation_expression function: [(identifier) @call (generic_name . (identifier) @call)])
(invocation_expression function: (member_access_expression name: [(identifier) @call
  (generic_name . (identifier) @call)]))
(invocation_expression function: (conditional_access_expression (member_binding_expression name: [(identifier) @call
  (generic_name . (identifier) @call)])))
(constructor_initializer ["base" "this"] @call)
(object_creation_expression type: [(identifier) @call (generic_name . (identifier) @call)
  (qualified_name name: [(identifier) @call (generic_name . (identifier) @call)])])
"""
)

_RUBY = """
[(method) (singleton_method) (lambda)] @function
(call block: (_) @inline)
(method parameters: (method_parameters (_) @parameter))
(singleton_method parameters: (method_parameters (_) @parameter))
(lambda parameters: (lambda_parameters (_) @parameter))
(block parameters: (block_parameters (_) @parameter))
(do_block parameters: (block_parameters (_) @parameter))
[(if) (unless) (if_modifier) (unless_modifier)] @branch
[(while) (until) (for) (while_modifier) (until_modifier)] @loop
[(case) (case_match)] @block
(begin (rescue)) @block
(body_statement (rescue)) @block
[(elsif) (when) (rescue) (rescue_modifier) (conditional) (if_guard) (unless_guard)] @decision
(in_clause) @arm
(binary operator: ["&&" "||" "and" "or"]) @decision
(operator_assignment operator: ["&&=" "||="]) @decision
(return) @return
(binary operator: ["&&" "||" "and" "or"] right: [(return) @exit (identifier) @word])
[(break) (next) (redo) (retry)] @exit
(call method: (_) @call)
(call !receiver method: (identifier) @bare)
[(then (identifier) @word) (else (identifier) @word) (body_statement (identifier) @word)
 (block_body (identifier) @word) (begin (identifier) @word) (if_modifier body: (identifier) @word)
 (unless_modifier body: (identifier) @word) (rescue_modifier handler: (identifier) @word)]
"""

_PHP = (
    _with_parameters(
        "function_definition method_declaration anonymous_function arrow_function property_hook",
        "parameters: (formal_parameters [(simple_parameter) (variadic_parameter)"
        " (property_promotion_parameter)] @parameter)",
    )
    + """
(if_statement) @branch
(else_clause body: (if_statement) @again)
[(for_statement) (foreach_statement) (while_statement) (do_statement)] @loop
(switch_statement) @switch
[(match_expression) (try_statement)] @block
[(else_if_clause) (case_statement) (match_conditional_expression) (catch_clause) (conditional_expression)] @decision
(binary_expression operator: ["&&" "||" "and" "or" "xor" "??"]) @decision
(augmented_assignment_expression operator: "??=") @decision
(return_statement) @return
(break_statement) @break
(break_statement (integer)) @exit
[(continue_statement) (goto_statement) (throw_expression) (exit_statement)] @exit
(function_call_expression function: [(name) @bare (variable_name) @call (qualified_name (name) @call .)])
[(member_call_expression name: (_) @call) (nullsafe_member_call_expression name: (_) @call)
 (scoped_call_expression name: (_) @call)]
(object_creation_expression [(name) @call (qualified_name (name) @call .)])
"""
)

_KOTLIN = """
[(function_declaration) (secondary_constructor) (getter) (setter) (anonymous_function)] @function
(lambda_literal) @inline
(function_declaration (function_value_parameters (parameter) @parameter))
(secondary_constructor (function_value_parameters (parameter) @parameter))
(anonymous_function (function_value_parameters (parameter) @parameter))
(setter (identifier) @parameter)
(lambda_literal (lambda_parameters (_) @parameter))
(if_expression) @branch
(if_expression "else" (if_expression) @again)
[(for_statement) (while_statement) (do_while_statement)] @loop
[(when_expression) (try_expression)] @block
(when_entry condition: (_)) @decision
(catch_block) @decision
(binary_expression operator: ["&&" "||" "?:"]) @decision
(return_expression) @return
(binary_expression operator: "?:" right: [(return_expression) @exit (identifier) @word])
(throw_expression) @exit
[(block (identifier) @word) (when_entry (identifier) @word) (if_expression (identifier) @word)
 (for_statement (identifier) @word) (while_statement (identifier) @word) (labeled_expression (label) @word)]
(call_expression . [(identifier) @call (navigation_expression (identifier) @call .)])
(constructor_delegation_call ["this" "super"] @call)
"""

_BY_GRAMMAR = {
    "tree_sitter_python": Constructs(_PYTHON, not_parameters=frozenset({b"self", b"cls"})),
    "tree_sitter_javascript": Constructs(_SCRIPT),
    "tree_sitter_typescript": Constructs(_TYPESCRIPT, not_parameters=frozenset({b"this"})),
    "tree_sitter_java": Constructs(_JAVA),
    "tree_sitter_go": Constructs(_GO, leaving=frozenset({b"panic"})),
    "tree_sitter_c": Constructs(
        _C, leaving=frozenset({b"abort", b"exit", b"longjmp"}), not_parameters=frozenset({b"void"})
    ),
    "tree_sitter_cpp": Constructs(
        _CPP,
        leaving=frozenset({b"abort", b"exit", b"longjmp"}),
        not_parameters=frozenset({b"void"}),
        not_calls=frozenset({b"static_cast", b"dynamic_cast", b"const_cast", b"reinterpret_cast"}),
    ),
    "tree_sitter_rust": Constructs(
        _RUST,
        leaving=frozenset({b"panic", b"todo", b"unimplemented", b"unreachable"}),
        not_parameters=frozenset({b"self"}),
    ),
    "tree_sitter_c_sharp": Constructs(_CSHARP),
    "tree_sitter_ruby": Constructs(_RUBY, leaving=frozenset({b"raise", b"fail", b"throw", b"exit", b"abort"})),
    "tree_sitter_php": Constructs(_PHP, leaving=frozenset({b"die", b"exit"})),
    "tree_sitter_kotlin": Constructs(_KOTLIN, leaving=frozenset({b"break", b"break@", b"continue", b"continue@"})),
}
