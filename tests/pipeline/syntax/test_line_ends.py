from __future__ import annotations

from pipeline.syntax.line_ends import with_line_feeds, with_single_line_feeds
from tests.rows import each_row


@each_row(
    ("data", "fed", "single"),
    [
        (b"a\nb\n", b"a\nb\n", b"a\nb\n"),
        (b"a\r\nb\r\n", b"a\r\nb\r\n", b"a\nb\n"),
        (b"a\rb\r", b"a\nb\n", b"a\rb\r"),
        (b"a\r\rb\n", b"a\r\rb\n", b"a\r\rb\n"),
        (b"a\r\r\nb", b"a\r\r\nb", b"a\r\nb"),
        (b"", b"", b""),
    ],
)
def test_line_ends_are_normalised(data: bytes, fed: bytes, single: bytes) -> None:
    assert (with_line_feeds(data), with_single_line_feeds(data)) == (fed, single)
    assert len(with_line_feeds(data)) == len(data)
    assert with_single_line_feeds(data).count(b"\n") == data.count(b"\n")
