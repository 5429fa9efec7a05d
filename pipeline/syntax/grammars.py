"""A row of `languages.LANGUAGES` -> its grammar, parser and queries, each made once a process and only when needed."""

from __future__ import annotations

import importlib
from functools import cache

import tree_sitter

from pipeline.syntax.constructs import constructs
from pipeline.syntax.languages import Language


@cache
def grammar(language: Language) -> tree_sitter.Language:
    """The grammar of a language; only this one is imported."""
    loader = getattr(importlib.import_module(language.module), language.loader)
    return tree_sitter.Language(loader())


@cache
def parser(language: Language) -> tree_sitter.Parser:
    return tree_sitter.Parser(grammar(language))


@cache
def outline_query(language: Language) -> tree_sitter.Query:
    """The nodes of the row, captured as @function, @value, @scope and @wrapper."""
    captured = {
        "function": language.functions,
        "value": language.values,
        "scope": language.scopes,
        "wrapper": language.wrappers,
    }
    # No predicates (`#eq?`): they ask a node for its text, which ends the process where a parse read by callback.
    lines = [f"{pattern} @{capture}" for capture, patterns in captured.items() for pattern in patterns]
    return tree_sitter.Query(grammar(language), "\n".join(lines))


@cache
def docstring_query(language: Language) -> tree_sitter.Query | None:
    return tree_sitter.Query(grammar(language), language.docstrings) if language.docstrings else None


@cache
def constructs_query(language: Language) -> tree_sitter.Query:
    return tree_sitter.Query(grammar(language), constructs(language).query)
