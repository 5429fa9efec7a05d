import base64
import json
from collections.abc import Callable
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.canaries import Canary, find

CANARY = Canary("the secret", 'a "canary" & <ü> 4f/1d+9a')
TEXT = CANARY.text
LEAKS: dict[str, Callable[[str], bytes]] = {
    "raw": lambda text: text.encode(),
    "latin-1": lambda text: text.encode("latin-1"),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64 of a longer text": lambda text: base64.b64encode(f"x-access-token:{text}\n".encode()),
    "base64 for addresses": lambda text: base64.urlsafe_b64encode(f"~~{text}".encode()),
    "hex": lambda text: text.encode().hex().encode(),
    "an address": lambda text: quote(text, safe="").encode(),
    "a path": lambda text: quote(text).encode(),
    "a form": lambda text: urlencode({"q": text}).encode(),
    "JSON": lambda text: json.dumps({"said": text}).encode(),
    "JSON in JSON": lambda text: json.dumps({"body": json.dumps({"said": text})}).encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16, the other way round": lambda text: text.encode("utf-16-be"),
    "a repr": lambda text: repr({"said": text}).encode(),
    "a repr of bytes": lambda text: repr(text.encode()).encode(),
    "escapes": lambda text: text.encode("unicode_escape"),
}


def test_a_leak_is_found_in_every_spelling(subtests: pytest.Subtests) -> None:
    for leak in LEAKS:
        with subtests.test(leak=leak):
            found = find([CANARY], b"before it \x00" + LEAKS[leak](TEXT) + b" and after it")
            assert found
            assert all(line.startswith("the secret in ") for line in found)


@given(st.binary(max_size=5), st.text("abcXYZ019_-/+ü ", min_size=12, max_size=40), st.binary(max_size=5))
def test_base64_is_found_wherever_it_stands(before: bytes, text: str, after: bytes) -> None:
    assert find([Canary("it", text)], base64.b64encode(before + text.encode() + after))


def test_nothing_is_found_where_nothing_is() -> None:
    assert find([CANARY], b"a canary, another one, and the name of the secret: 4f/1d+9") == []


def test_what_was_found_is_named_and_not_repeated() -> None:
    assert find([CANARY, Canary("another", "zzzz")], TEXT.encode())[0] == "the secret in plain text"


def test_no_spelling_is_so_short_that_it_is_everywhere(subtests: pytest.Subtests) -> None:
    for spelling in CANARY.spellings:
        with subtests.test(spelling=spelling):
            assert len(CANARY.spellings[spelling]) >= 20
