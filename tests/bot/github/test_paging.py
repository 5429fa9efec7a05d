from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.github.paging import has_next, next_cursor


@pytest.mark.parametrize(
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
def test_a_link_counts_before_the_number_of_items(link: str, items: int, more: bool) -> None:
    assert has_next({"link": link} if link else {}, items) is more


@pytest.mark.parametrize(
    ("link", "cursor"),
    [
        ('<https://x/app/hook/deliveries?per_page=100&cursor=v1_12%2C3>; rel="next"', "v1_12,3"),
        ('<https://x/app/hook/deliveries?cursor=v1_1>; rel="prev"', ""),
        ('<https://x/app/hook/deliveries>; rel="next"', ""),
        ('<http://[bad>; rel="next"', ""),
        ("", ""),
    ],
)
def test_of_an_address_only_the_cursor_is_taken(link: str, cursor: str) -> None:
    assert next_cursor({"link": link}) == cursor


@given(st.text())
def test_no_header_breaks_it(link: str) -> None:
    assert has_next({"link": link}, 0) in (True, False)
    assert isinstance(next_cursor({"link": link}), str)
