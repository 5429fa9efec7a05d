from hypothesis import given
from hypothesis import strategies as st

from bot.receiver.signature import is_signed, parse_signature, sign
from tests.rows import each_row

BODY = b"Hello, World!"
SECRET = "It's a Secret to Everybody"
# Of these two GitHub's documentation gives the signature.
DIGEST = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_githubs_documented_example_verifies() -> None:
    assert sign(BODY, SECRET) == f"sha256={DIGEST}"
    assert is_signed(BODY, DIGEST, [SECRET])
    assert is_signed(bytearray(BODY), DIGEST, [SECRET])


def test_either_secret_is_valid_during_rotation() -> None:
    assert is_signed(BODY, DIGEST, ["new", SECRET])
    assert is_signed(BODY, DIGEST, [SECRET, "old"])
    assert not is_signed(BODY, DIGEST, ["new", "old"])


def test_without_a_secret_no_signature_is_valid() -> None:
    of_nothing = sign(BODY, "").removeprefix("sha256=")
    assert not is_signed(BODY, of_nothing, [])
    assert not is_signed(BODY, of_nothing, [""])
    assert not is_signed(BODY, of_nothing, ["", SECRET])


@given(
    body=st.binary(max_size=40),
    changed=st.binary(max_size=40),
    secret=st.text(st.characters(codec="utf-8"), min_size=1),
)
def test_a_signature_covers_one_body(body: bytes, changed: bytes, secret: str) -> None:
    digest = parse_signature([sign(body, secret)])
    assert digest is not None
    assert is_signed(body, digest, [secret])
    assert is_signed(changed, digest, [secret]) == (changed == body)


@each_row(
    "headers",
    [
        [],
        [""],
        ["sha256="],
        [DIGEST],
        [f"sha1={DIGEST[:40]}"],
        [f"sha256={DIGEST[:-1]}"],
        [f"sha256={DIGEST}0"],
        [f"sha256={DIGEST.upper()}"],
        [f"SHA256={DIGEST}"],
        [f" sha256={DIGEST}"],
        [f"sha256={DIGEST}\n"],
        [f"sha256={'٣' * 64}"],
        [f"sha256={DIGEST}, sha256={DIGEST}"],
        [f"sha256={DIGEST}", f"sha256={DIGEST}"],
    ],
)
def test_malformed_signature_headers_are_none(headers: list[str]) -> None:
    assert parse_signature(headers) is None
