from __future__ import annotations

import subprocess
import sys

from pipeline.syntax.grammars import docstring_query, grammar, outline_query, parser
from pipeline.syntax.languages import LANGUAGES, Language
from tests.rows import each_row


@each_row("language", LANGUAGES)
def test_grammar_parser_and_query_are_created_once(language: Language) -> None:
    assert grammar(language) is grammar(language)
    assert parser(language) is parser(language)
    assert outline_query(language) is outline_query(language)


@each_row("language", LANGUAGES)
def test_no_query_reads_the_text_of_a_node(language: Language) -> None:
    patterns = [*language.functions, *language.values, *language.scopes, *language.wrappers, language.docstrings]
    assert not any("#" in pattern for pattern in patterns)


def test_only_python_has_docstrings() -> None:
    assert [language.name for language in LANGUAGES if docstring_query(language)] == ["Python"]


def test_parsing_one_language_loads_no_other_grammar() -> None:
    program = (
        "import sys\n"
        "from pipeline.syntax.languages import language_of\n"
        "from pipeline.syntax.parser import parse_file\n"
        "parse_file(language_of(b'a.go'), b'package p')\n"
        "print(*sorted(m for m in sys.modules if m.startswith('tree_sitter_') and '.' not in m))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tree_sitter_go"]
