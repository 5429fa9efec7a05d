"""Accept the URLs that can be cloned, and keep no secret of the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.git.url import looks_like_url, parse_url
from pipeline.records import AssayError
from tests.rows import each_row


@each_row(
    ("text", "url", "name"),
    [
        ("https://github.com/pallets/flask", "https://github.com/pallets/flask", "pallets/flask"),
        ("https://github.com/pallets/flask.git", "https://github.com/pallets/flask.git", "pallets/flask"),
        ("  https://github.com/pallets/flask/ \n", "https://github.com/pallets/flask", "pallets/flask"),
        ("HTTPS://GitHub.com/Pallets/Flask", "https://github.com/Pallets/Flask", "Pallets/Flask"),
        ("http://127.0.0.1:8080/a/b.git", "http://127.0.0.1:8080/a/b.git", "a/b"),
        ("https://[::1]:8443/a/b", "https://[::1]:8443/a/b", "a/b"),
        ("https://host/group/sub/name", "https://host/group/sub/name", "sub/name"),
        ("https://host/name", "https://host/name", "name"),
        ("https://host/~ada/n%20ame", "https://host/~ada/n%20ame", "~ada/n%20ame"),
    ],
)
def test_a_clone_url_is_kept_as_written(text: str, url: str, name: str) -> None:
    parsed = parse_url(text)
    assert (str(parsed), parsed.name) == (url, name)
    assert looks_like_url(text)


@each_row(
    ("text", "message"),
    [
        ("--upload-pack=touch /tmp/x", "is an option"),
        ("-x", "is an option"),
        ("ext::sh -c whoami", "characters that a clone URL cannot have"),
        ("ext::whoami", "only http:// and https://"),
        ("fd::17", "only http:// and https://"),
        ("file:///etc", "only http:// and https://"),
        ("ssh://git@github.com/a/b", "only http:// and https://"),
        ("git@github.com:a/b.git", "only http:// and https://"),
        ("git://github.com/a/b", "only http:// and https://"),
        ("https::/a/b", "only http:// and https://"),
        ("https://user:secret@github.com/a/b", "contains a user name or password"),
        ("https://secret@github.com/a/b", "contains a user name or password"),
        ("https://github.com", "is not a clone URL"),
        ("https://github.com/", "is not a clone URL"),
        ("https:///a/b", "is not a clone URL"),
        ("https://-host/a/b", "is not a clone URL"),
        ("https://ho_st/a/b", "is not a clone URL"),
        ("https://host:99999/a/b", "the URL is invalid"),
        ("https://host:x/a/b", "the URL is invalid"),
        ("https://[host/a/b", "the URL is invalid"),
        ("https://host/a/../b", "is not a clone URL"),
        ("https://host/a/./b", "is not a clone URL"),
        ("https://host/a//b", "is not a clone URL"),
        ("https://host/a/%2e%2e/b", "is not a clone URL"),
        ("https://host/a/b%00", "is not a clone URL"),
        ("https://host/a/b%0a", "is not a clone URL"),
        ("https://host/a/b%zz", "is not a clone URL"),
        ("https://host/a/b?x=1", "is not a clone URL"),
        ("https://host/a/b#x", "is not a clone URL"),
        ("https://host/a\nb/c", "characters that a clone URL cannot have"),
        ("https://host/a\x1b/c", "characters that a clone URL cannot have"),
        ("https://host/a b/c", "characters that a clone URL cannot have"),
        ("https://host/a\\b", "characters that a clone URL cannot have"),
        ("https://hóst/a/b", "characters that a clone URL cannot have"),
        ("https://host/" + "a" * 3000, "longer than 2,048"),
        ("", "only http:// and https://"),
        ("a/b", "only http:// and https://"),
    ],
)
def test_other_urls_are_rejected_in_one_line_without_the_password(text: str, message: str) -> None:
    with pytest.raises(AssayError, match=message) as caught:
        parse_url(text)
    assert str(caught.value).isprintable()
    assert "secret" not in str(caught.value)


@each_row("text", ["--option", "ext::x", "git@host:a/b", "ssh://h/a", "file:///x", "a+b://x"])
def test_a_url_is_not_taken_for_a_path(text: str) -> None:
    assert looks_like_url(text)


@each_row("text", ["", ".", "..", "flask", "a/b", "/abs/olute", "./-x", "~/code", "C/a:b", "a b"])
def test_a_path_is_not_taken_for_a_url(text: str) -> None:
    assert not looks_like_url(text)


@given(st.one_of(st.text(), st.from_regex(r"https?://[a-z@:.]{1,9}/[a-z%/.?#-]{0,12}", fullmatch=True)))
def test_an_accepted_url_is_plain_and_parses_to_itself(text: str) -> None:
    try:
        parsed = parse_url(text)
    except AssayError as error:
        assert str(error).isprintable()  # noqa: PT017
        return
    assert parse_url(parsed.text) == parsed
    assert "@" not in parsed.text.split("/")[2]
    assert parsed.text.isascii()
    assert parsed.text.isprintable()


def test_control_characters_of_an_option_are_escaped() -> None:
    with pytest.raises(AssayError, match=r"^-\\x1b\[2J is an option"):
        parse_url("-\x1b[2J")
