from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.github.responses import has_next, next_cursor
from tests.rows import each_row


@each_row(
    ("link", "items", "more"),
    [
        ('<https://x/?page=2>; rel="next", <https://x/?page=9>; rel="last"', 3, True),
        ('<https://x/?page=1>; rel="prev", <https://x/?page=2>; rel="next"', 3, True),
        ('<https://x/?page=1>; rel="prev"', 100, False),
        ("<https://x/?page=2>; rel=next", 0, True),
        ("", 100, True),
        ("", 99, False),
        ("rel=next", 100, False),
        ('<https://x/?rel="next">; rel="prev"', 100, False),
    ],
)
def test_link_header_takes_precedence_over_page_size(link: str, items: int, more: bool) -> None:
    assert has_next({"link": link} if link else {}, items) is more


@each_row(
    ("link", "cursor"),
    [
        ('<https://x/app/hook/deliveries?per_page=100&cursor=v1_12%2C3>; rel="next"', "v1_12,3"),
        ('<https://x/app/hook/deliveries?cursor=v1_1>; rel="prev"', ""),
        ('<https://x/app/hook/deliveries>; rel="next"', ""),
        ('<http://[bad>; rel="next"', ""),
        ("", ""),
    ],
)
def test_only_the_cursor_is_read_from_a_link(link: str, cursor: str) -> None:
    assert next_cursor({"link": link}) == cursor


@given(st.text())
def test_any_header_is_handled(link: str) -> None:
    assert has_next({"link": link}, 0) in (True, False)
    assert isinstance(next_cursor({"link": link}), str)
