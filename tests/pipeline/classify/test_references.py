"""The issues and pull requests that a text refers to, and lookalikes of references."""

from __future__ import annotations

import re
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.classify.references import (
    MAX_CHARACTERS,
    MAX_REFERENCES,
    Home,
    Reference,
    might_refer,
    read_pull_references,
    read_references,
)
from tests.rows import each_row

HOME = Home("acme/shop", formerly=("acme/old-shop",))
GHES = Home("acme/shop", host="git.acme.example")


def read(message: str | bytes, home: Home = HOME) -> list[tuple[int, str]]:
    return [(r.number, r.kind) for r in read_references(message, home)]


REFERENCES = [
    ("Keep the till open, see #12", [(12, "mentions")]),
    ("Issue #12: keep the till open", [(12, "mentions")]),
    ("#12 -- Keep the till open", [(12, "mentions")]),
    ("Keep the till open [#12]", [(12, "mentions")]),
    ("Keep #12,#13 and #14.", [(12, "mentions"), (13, "mentions"), (14, "mentions")]),
    ("GH-12 till", [(12, "mentions")]),
    ("Till\n\nSee gh-12.", [(12, "mentions")]),
    ("Till\n\nCloses gh-12", [(12, "closes")]),
    ("Till\n\nCloses GH-12", [(12, "closes")]),
    ("Till\n\nhttps://github.com/acme/shop/issues/12", [(12, "mentions")]),
    ("Till\n\nFixes https://github.com/acme/shop/issues/12", [(12, "closes")]),
    ("Till\n\nFixes http://www.github.com/Acme/Shop/issues/12#issuecomment-99", [(12, "closes")]),
    ("Till (https://github.com/acme/shop/pull/12/files)", [(12, "mentions")]),
    ("Till\n\nhttps://github.com/acme/old-shop/issues/12", [(12, "mentions")]),
    ("Till\n\nFixes [#12](https://github.com/acme/shop/issues/12)", [(12, "closes")]),
    ("Till acme/shop#12", [(12, "mentions")]),
    ("Till\n\nfixes ACME/Shop#12", [(12, "closes")]),
    ("Keep the till open (#12)", [(12, "pull request")]),
    ("Keep the till open (GH-12)", [(12, "pull request")]),
    ("Keep the till open (#11) (#12)", [(12, "pull request"), (11, "mentions")]),
    ("Fix #11 (#12)", [(12, "pull request"), (11, "closes")]),
    ("Till (#12)\n\nfix #11", [(12, "pull request"), (11, "closes")]),
    ("Merge pull request #12 from ada/fix-#9-till\n\nFixes #11", [(12, "pull request"), (11, "closes")]),
    ("Merge PR #12 from ada/till", [(12, "pull request")]),
    ("Auto merge of #12 - ada:till, r=bob", [(12, "pull request")]),
    ("Till\n\nMerge the tills (#12)", [(12, "mentions")]),
    ("Fixes: #12", [(12, "closes")]),
    ("[Fix #12] Till", [(12, "closes")]),
    ("fix: #12 till", [(12, "closes")]),
    ("Till\n\nFixes\n#12", [(12, "closes")]),
    ("Till\n\n- Fixes #12\n- resolves #13", [(12, "closes"), (13, "closes")]),
    ("Fixes #12, #13 and #14", [(12, "closes"), (13, "mentions"), (14, "mentions")]),
    ("Fixes #12, closes #13", [(12, "closes"), (13, "closes")]),
    ("Fix issue #12", [(12, "mentions")]),
    ("Fix issue #3", [(3, "mentions")]),
    ("See ticket #3", [(3, "mentions")]),
    ("Fixes #3", [(3, "closes")]),
    ("Keep (#3) open", [(3, "mentions")]),
    ("Mentions #12, then closes #12", [(12, "closes")]),
    ("Fix `open()` of tills, closes #12", [(12, "closes")]),
    ("Drawing in the background (#12345) is slow", [(12345, "mentions")]),
    ("Background: #8869 made it slow", [(8869, "mentions")]),
    ("\n\n  Keep the till open (#12)  \n", [(12, "pull request")]),
    ("Till\r\n\r\nFixes #12\r\n", [(12, "closes")]),
    ("Till\n\n1. open it\n    and fix #12", [(12, "closes")]),
    ("Till\n\n```\n#34\n```\nFixes #12", [(12, "closes")]),
    ("Till\n\n~~~\n```\n#34\n~~~\nFixes #12", [(12, "closes")]),
    ("修复 #12", [(12, "mentions")]),
]


@each_row(("message", "found"), REFERENCES)
def test_every_form_of_a_reference_is_read(message: str, found: list[tuple[int, str]]) -> None:
    assert read(message) == found


@each_row("word", ["close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved"])
def test_the_nine_keywords_close(word: str) -> None:
    for text in (f"Till\n\n{word} #12", f"Till\n\n{word.upper()}: #12", f"{word.title()} acme/shop#12 now"):
        assert read(text) == [(12, "closes")]


NO_KEYWORDS = [
    "closing #12",
    "fixing #12",
    "fixx #12",
    "prefix #12",
    "auto-fix #12",
    "fixes- #12",
    "fix the #12",
    "_fix #12",
]


@each_row("text", NO_KEYWORDS)
def test_other_words_only_mention(text: str) -> None:
    assert read(text) == [(12, "mentions")]


LOOK_ALIKES = [
    "Paint it #fff",
    "Paint it #12ab34",
    "Paint with color: #333",
    "Paint with color #123456 and no more",
    "Set background-color: #333333",
    'Use fill="#123"',
    "Go from colour #333 to #444",
    "In css\n\nborder: #112233; is wrong",
    "Paint\n\nmargin-left-hue: #123;",
    "Tell about `#12`",
    "Tell about ``see `#12` ``",
    "Till\n\n```\nfixes #12\n```",
    "Till\n\n~~~ sh\nfixes #12",
    "Till\n\n    fixes #12\n\n    fixes #13",
    "Till\n\n\tfixes #12",
    "Till\n\n> fixes #12",
    "Till\n\n<!-- for example: Fixes #12 -->",
    "Till\n\n<details>\nfixes #12\n</details>",
    'Revert "Fix #12 (#13)"',
    "Revert “Fix #12”",
    "Backport a few\n\n* Fix the till (#12)\n* Fix the door (#13).",
    "Release\n\n- Fix the till by @ada in https://github.com/acme/shop/pull/12",
    "Backport\n\n12ab34c Fix #12\n12ab34d Fix #13 in the door",
    "Backport\n\ncommit 12ab34c fixes #12",
    "Merge it\n\nMerge pull request #12 from ada/till",
    "Stop crashing\n\n#10 0x7f0985 in open till.c:12",
    "Stop crashing\n\n  #11 open_till till.c:116 (till+0x12)",
    "Stop crashing\n\n#12 /srv/till.php(12): open()",
    "Stop crashing\n\n#12 {main}",
    "Stop crashing: it waits here\n    till     till.go:276      (*Till).Open(#23, #167)\n    till.go:12   wait(#44)",
    "Our #1 concern",
    "Wait for thread #2 and slot #0",
    "Make #012 blue",
    "Answer PR-12 and TILL-123",
    "Answer PR#12",
    "Answer other#12",
    "Answer other/shop#12",
    "Fix other/shop#12",
    "Fixes docs/CHANGELOG.md#3200",
    "Till on branch ada/gh-12",
    "Take over my-gh-12",
    "Till\n\n# 12",
    "#if 12\n\n#define 12\n#line 12",
    "Escape &#123; and &#x12;",
    "Till\n\nhttps://example.org/page#123",
    "Till\n\nhttps://github.com/acme/shop/blob/main/till.py#12",
    "Till\n\nfixes https://github.com/other/shop/issues/12",
    "Till\n\nfixes https://git.acme.example/acme/shop/issues/12",
    "Till\n\nhttps://redirect.github.com/acme/shop/issues/12",
    'Bump\n\n<a href="https://redirect.github.com/other/tool/issues/12">#12</a>',
    "Bump\n\n[#12](https://redirect.github.com/other/tool/issues/12)",
    "Till page.md#123",
    "Till v#1.2",
    "Needs #12.5 or more",
    "Write ada#12@example.org",
    "In 12ab34c#12",
    "Till #12th",
    "fix 12",
    "fixes #",
    "Merge branch 'ada/fix-#12'",
    "Number #1234567890",
    "",
    "\n\n",
]


@each_row("message", LOOK_ALIKES)
def test_lookalikes_are_no_references(message: str) -> None:
    assert read(message) == []


def test_urls_of_a_self_hosted_server_count() -> None:
    assert read("Till\n\nfixes https://git.acme.example/acme/shop/issues/12", GHES) == [(12, "closes")]
    assert read("Till\n\nfixes https://github.com/acme/shop/issues/12", GHES) == []


def test_a_pull_request_has_no_reference_to_the_pull_request_it_came_from() -> None:
    assert read_pull_references("Till (#12)", "Fixes #13", HOME) == (Reference(12, "mentions"), Reference(13, "closes"))


def test_a_number_that_the_limit_cuts_is_not_read() -> None:
    for length in range(MAX_CHARACTERS - 12, MAX_CHARACTERS + 1):
        references = read("Till\n\n" + "x " * ((length - 6) // 2) + " fixes #12345 and more " * 3)
        assert references in ([], [(12345, "closes")])


def test_the_number_of_references_is_limited() -> None:
    assert len(read(" ".join(f"#{n}" for n in range(10, 500)))) == MAX_REFERENCES


@given(st.binary(max_size=300))
def test_any_bytes_are_read(message: bytes) -> None:
    assert len(read(message)) <= MAX_REFERENCES


PIECES = st.sampled_from(
    ["#12", "fix", "fixes: ", " ", "\n", "`", "(", ")", "GH-7", "acme/shop", "https://github.com/acme/shop/issues/5",
     "color: ", "> ", "```\n", "    ", "<!--", "-->", '"', "* ", "other/", "Merge pull request #3 from ", "a", ","]
)  # fmt: skip


@given(st.lists(PIECES, max_size=30).map("".join))
def test_each_number_is_returned_once_and_bytes_are_read_like_text(message: str) -> None:
    found = read(message)
    assert len({number for number, _ in found}) == len(found)
    assert found == read(message.encode())
    assert might_refer(message.encode()) or not found
    assert {number for number, _ in found} <= {int(n) for n in re.findall(r"\d+", message)}


@given(st.lists(PIECES, max_size=12).map("".join))
def test_references_in_a_fence_are_ignored(hidden: str) -> None:
    if "```" not in hidden and "<!--" not in hidden:
        assert read(f"Till\n\n```\n{hidden}\n```\nfixes #99") == [(99, "closes")]


BOMBS = [
    "#", "# ", "#1", "#1,", "fix ", "fixes: \n", "`", "``", "` ", '"', "a/", "a/a", "https://", "<!--", "<details",
    "* (#", "* a (#1) ", "color: ", "color: #123, ", "a: #123 ", "#1 a", "\n#1 a", "\n#1 aaaa ", "> ", "[", "[#1](",
    "(#1", "\t#", "gh-", "-", "12ab34c ", "\u201c", "a-", "see issue ", "\n    ", "```\n", "x",
    "\n* (aaaa", "\n* in http://a", "\n a:1 ", "\n a b", "* (a/", "/issues/1 ",
]  # fmt: skip


@each_row("piece", BOMBS)
def test_time_is_linear_in_the_length(piece: str) -> None:
    bomb = ("Till\n\n" + piece * (MAX_CHARACTERS // len(piece)))[:MAX_CHARACTERS]
    began = time.process_time()
    read_references(bomb, HOME)
    read_references(bomb[6:], HOME)
    assert time.process_time() - began < 2.0


@settings(max_examples=50)
@given(st.integers(10, 10**8), st.sampled_from(["#", "GH-", "gh-", "acme/shop#"]), st.sampled_from([*"abc \n.,;:)]"]))
def test_a_number_is_read_whole_or_not_at_all(number: int, form: str, after: str) -> None:
    assert read(f"Till, see {form}{number}{after}") in ([(number, "mentions")], [])
