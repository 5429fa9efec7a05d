"""Foreign text ends up as plain words or as code, according to a real Markdown parser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.messages.markdown import block, code, fit, prose, visible

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
STRUCTURE = {"paragraph_open", "paragraph_close", "inline", "fence", "text", "code_inline", "softbreak"}
LIST = {"bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"}

# What GitHub makes something of although the parser sees plain text.
LIVE = re.compile(
    r"@\w|#\d|\bGH-\d|https?:|ftp:|www\.|\b[0-9a-f]{7,40}\b|:[\w+-]+:|\$|\b[A-Z]+-\d|\[\[|&\#?\w+;|<|>|`|\|",
    re.IGNORECASE,
)
INVISIBLE = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ud800-\udfff]"
)

HOSTILE = [
    "@octocat",
    "hello @acme/security, look",
    "#1",
    "fixes #123",
    "owner/repo#1",
    "owner@0123456789012345678901234567890123456789",
    "owner/repo@0123456789abcdef",
    "0123456789abcdef0123456789abcdef01234567",
    "see deadbeef and 1234567",
    "GH-123",
    "JIRA-42 and gh-7",
    "https://evil.example/?q=1",
    "http:evil",
    "ftp://evil.example/x",
    "www.evil.example",
    "WWW.evil.example",
    "mail me@evil.example",
    "mailto:me@evil.example",
    "javascript:alert(1)",
    "[click](javascript:alert(1))",
    "[click][ref]\n\n[ref]: https://evil.example",
    "![x](https://evil.example/pixel.png)",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<!-- hidden -->",
    "<details><summary>x</summary>",
    "</details>",
    "<https://evil.example>",
    "&#64;octocat &commat;octocat &lt;b&gt;",
    "`",
    "``",
    "```",
    "`````````````",
    "a`b``c```d````e",
    "`code` and `more`",
    "~~~\nfence",
    "```mermaid\ngraph TD; A-->B\n```",
    "```\n# out of the fence\n",
    "| a | b |\n| --- | --- |\n| 1 | 2 |",
    "a | b",
    "[[wiki]]",
    ":smile: :+1: :shipit:",
    "heading\n=======",
    "heading\n-------",
    "=======",
    "-------",
    "***",
    "___",
    "# heading",
    "> quote",
    "> [!NOTE]\n> alert",
    "- [ ] task",
    "- item",
    "+ item",
    "* item",
    "1. item",
    "1) item",
    "    indented code",
    "\tindented code",
    "$math$ $$more$$ $`x`$",
    "\\begin{x}",
    "*bold* **bolder** _under_ __more__ ~~gone~~",
    "[^1] and [^1]: note",
    "\u202eexe.gpj\u202c",
    "zero\u200bwidth\u200d\u2060join\ufeff",
    "\u2066isolate\u2069",
    "filler\u3164\u115f\u2800",
    "tag\U000e0041s and \ufe0f selectors\U000e0100",
    "z\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308algo",
    "nul\x00 escape\x1b[31m bell\x07",
    "line\rbreak\x0bs\x0c\x85\u2028\u2029here",
    "\ud800 lone \udfff surrogates",
    "",
    " ",
    "   two   spaces   ",
    "` x `",
    "x" * 100_000,
    "`" * 10_000,
    "@a " * 10_000,
    "\\",
    "\\`",
    "ends with \\",
    "trailing…",
    "naïve café Ünïcödé 日本語",
]  # fmt: skip


def tokens_of(markdown: str) -> Iterator[Token]:
    for token in PARSER.parse(markdown):
        yield token
        yield from token.children or ()


def assert_inert(markdown: str, allowed: set[str] = STRUCTURE) -> None:
    """Only plain text and code, and nothing in the plain text that GitHub would bring to life."""
    assert not INVISIBLE.search(markdown.replace("\n", "")), ascii(markdown)
    markdown.encode()
    for token in tokens_of(markdown):
        assert token.type in allowed, (token.type, markdown)
        if token.type == "text":
            assert not LIVE.search(token.content), (token.content, markdown)


class TestTheHostileCorpus:
    def test_as_a_name_it_is_one_code_span(self, subtests: pytest.Subtests) -> None:
        for hostile in HOSTILE:
            with subtests.test(hostile=hostile):
                markdown = code(hostile)
                inline = [
                    token.type for token in tokens_of(markdown) if token.type not in STRUCTURE - {"code_inline", "text"}
                ]
                assert inline in (["code_inline"], ["text"])
                assert_inert(markdown)

    def test_as_a_sentence_it_is_words_and_code(self, subtests: pytest.Subtests) -> None:
        for hostile in HOSTILE:
            with subtests.test(hostile=hostile):
                assert_inert(prose(hostile))

    def test_in_a_list_it_stays_in_its_item(self, subtests: pytest.Subtests) -> None:
        for hostile in HOSTILE:
            with subtests.test(hostile=hostile):
                markdown = f"- {prose(hostile)}\n- ours"
                assert_inert(markdown, STRUCTURE | LIST)
                assert sum(token.type == "list_item_open" for token in tokens_of(markdown)) == 2

    def test_between_our_words_it_changes_none_of_them(self, subtests: pytest.Subtests) -> None:
        for hostile in HOSTILE:
            with subtests.test(hostile=hostile):
                markdown = f"Next is {code(hostile)}, then {prose(hostile)} and {code(hostile)} end"
                assert_inert(markdown)
                texts = [token.content for token in tokens_of(markdown) if token.type == "text"]
                assert texts[0].startswith("Next is ")
                assert texts[-1].endswith(" end")

    def test_in_a_block_it_does_not_get_out(self, subtests: pytest.Subtests) -> None:
        for hostile in HOSTILE:
            with subtests.test(hostile=hostile):
                markdown = block(["before", hostile, "after"])
                (token,) = tokens_of(markdown)
                assert token.type == "fence"
                assert token.info == "text"
                lines = token.content.splitlines()
                assert (lines[0], lines[-1], len(lines)) == ("before", "after", 3)
                assert_inert(markdown)


class TestNames:
    def test_a_name_is_shown_as_it_is(self) -> None:
        assert code("acme/shop") == "`acme/shop`"

    def test_backticks_are_shown_within_a_longer_fence(self) -> None:
        assert code("a``b`c") == "``` a``b`c ```"

    def test_invisible_characters_are_spelled_out(self) -> None:
        assert code("a\u200bb\u202ec\n") == r"`a\u200bb\u202ec\n`"

    def test_a_long_name_is_cut(self) -> None:
        assert code("x" * 1_000, 10) == "`xxxxxxxxxx…`"

    def test_letters_keep_two_accents_at_most(self) -> None:
        assert visible("e\u0301\u0302 x") == "e\u0301\u0302 x"
        assert visible("e\u0301\u0302\u0303") == "e\u0301\u0302\\u0303"

    @given(st.text(max_size=300))
    def test_a_code_span_holds_exactly_what_is_seen(self, text: str) -> None:
        spans = [token.content for token in tokens_of(code(text)) if token.type == "code_inline"]
        if visible(text).strip():
            assert spans == [visible(text)]


class TestSentences:
    def test_our_own_sentences_stay_as_they_are(self) -> None:
        cases: list[str] = [
            "The density of 0.0394 (0.0331 to 0.0462) reaches the threshold of 0.0193.",
            "leave-one-out gets 88 % of them right; the band is widened to ±30 % or more.",
            "12 objects missing: 9 pairs left out",
            "The windows of 400 + 200 days are shorter than 730 + 365 days, in a history of 1,234 days.",
            "this repository’s own configuration",
        ]
        wrong = [(got, sentence) for sentence in cases if (got := prose(sentence)) != sentence]
        assert wrong == []

    def test_a_name_that_our_sentence_quotes_stays_quoted(self) -> None:
        assert (
            prose("borrowed from the recipe `messages`, and so on") == "borrowed from the recipe `messages`, and so on"
        )

    def test_strange_words_side_by_side_share_a_code_span(self) -> None:
        assert prose("see @bob #12 in src/a.py now") == "see `@bob #12` in `src/a.py` now"

    @given(st.text(max_size=400))
    @example("a -\n b")
    def test_any_text_is_words_and_code(self, text: str) -> None:
        assert_inert(prose(text))

    @given(st.lists(st.sampled_from(HOSTILE), max_size=4).map(" ".join), st.integers(1, 200))
    def test_so_is_any_mixture_of_the_hostile_cut_anywhere(self, text: str, longest: int) -> None:
        assert_inert(prose(text, longest))
        assert_inert(code(text, longest))

    @given(st.text(alphabet="`@#:/[]()<>!*_~|\\$&;= \n-+.ab1", max_size=200))
    def test_so_is_any_mixture_of_signs(self, text: str) -> None:
        assert_inert(prose(text))
        assert_inert(f"- {code(text)} and {prose(text)}", STRUCTURE | LIST)


class TestFitting:
    def test_a_text_that_fits_is_unchanged(self) -> None:
        assert fit("a\nb", "cut", 3) == "a\nb"

    def test_a_text_that_is_too_long_is_cut_at_a_line(self) -> None:
        assert fit("first line\nsecond line\nthird", "cut", 20) == "first line\n\ncut"

    def test_the_limit_is_in_bytes_and_not_characters(self) -> None:
        cut = fit("ü" * 10 + "\n" + "ü" * 10, "cut", 40)
        assert cut == "ü" * 10 + "\n\ncut"

    def test_a_code_block_is_closed(self) -> None:
        text = "\n".join(["before", "````text", *["x" * 10] * 50, "````", "after"])
        cut = fit(text, "cut", 200)
        assert len(cut.encode()) <= 200
        assert cut.endswith("\n````\n\ncut")
        assert [t.type for t in PARSER.parse(cut)].count("fence") == 1

    @given(
        st.lists(st.one_of(st.text(max_size=60).map(prose), st.lists(st.text(max_size=20)).map(block)), max_size=12),
        st.integers(60, 400),
    )
    def test_the_result_always_fits_and_is_inert(self, parts: list[str], most_bytes: int) -> None:
        cut = fit("\n\n".join(parts), "The rest is left out.", most_bytes)
        assert len(cut.encode()) <= most_bytes
        assert_inert(cut)
