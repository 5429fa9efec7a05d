"""Load the grammar, parser and queries of a language, once per process and on first use."""

from __future__ import annotations

import importlib
from functools import cache

import tree_sitter

from pipeline.syntax.constructs import constructs
from pipeline.syntax.languages import Language


@cache
def grammar(language: Language) -> tree_sitter.Language:
    """Return the grammar of a language, importing no other."""
    loader = getattr(importlib.import_module(language.module), language.loader)
    return tree_sitter.Language(loader())


@cache
def parser(language: Language) -> tree_sitter.Parser:
    return tree_sitter.Parser(grammar(language))


@cache
def outline_query(language: Language) -> tree_sitter.Query:
    """Return a query that captures nodes as @function, @value, @scope, @wrapper, @wrapped and @statement."""
    captured = {
        "function": language.functions,
        "value": language.values,
        "scope": language.scopes,
        "wrapper": language.wrappers,
        "wrapped": language.wrapped,
    }
    # No predicates (`#eq?`): they read the text of a node, which crashes the process after a parse by callback.
    lines = [f"{pattern} @{capture}" for capture, patterns in captured.items() for pattern in patterns]
    return tree_sitter.Query(grammar(language), "\n".join((*lines, *language.statements)))


@cache
def docstring_query(language: Language) -> tree_sitter.Query | None:
    return tree_sitter.Query(grammar(language), language.docstrings) if language.docstrings else None


@cache
def constructs_query(language: Language) -> tree_sitter.Query:
    return tree_sitter.Query(grammar(language), constructs(language).query)
