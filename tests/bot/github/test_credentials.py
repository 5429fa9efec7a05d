import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from bot.github.credentials import (
    GivenCredentials,
    credentials_from,
    credentials_path,
    forget_credentials,
    load_credentials,
    parse_private_key,
    read_secret,
    require_private_folder,
    save_credentials,
)
from bot.records import AppCredentials
from pipeline.records import AssayError
from tests.builders.credentials import private_key
from tests.rows import each_row

PEM = private_key(0)
CREDENTIALS = AppCredentials(7, PEM, ("s3cret", "older"), "Iv1.a", "client-s3cret", "assay-acme")
GIVEN = GivenCredentials(app_id=9, private_key=PEM, webhook_secret="from-outside")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir(mode=0o700)
    return tmp_path / "data"


def test_stored_credentials_are_loaded(data_dir: Path) -> None:
    assert load_credentials(data_dir) is None
    assert save_credentials(data_dir, CREDENTIALS) == credentials_path(data_dir)
    assert load_credentials(data_dir) == CREDENTIALS
    assert os.listdir(data_dir) == ["credentials.json"]


def test_file_and_folder_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = save_credentials(tmp_path / "new", CREDENTIALS)
    finally:
        os.umask(before)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


WATCHED = """
import os, sys
from pathlib import Path
import bot.github.credentials as credentials
from bot.records import AppCredentials
seen = []
fsync = os.fsync
def watch(descriptor):
    for path in Path(sys.argv[1]).iterdir():
        seen.append(path.stat().st_mode & 0o777)
    fsync(descriptor)
os.fsync = watch
os.umask(0)
credentials.save_credentials(Path(sys.argv[1]), AppCredentials(1, "PEM", ("s",)))
print(sorted(set(seen)))
"""


def test_the_file_is_private_from_creation_and_synced(data_dir: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WATCHED, data_dir], capture_output=True, text=True, check=True)
    assert done.stdout == f"[{0o600}]\n"


def test_a_full_disk_keeps_the_old_credentials(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_credentials(data_dir, CREDENTIALS)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_credentials(data_dir, replace(CREDENTIALS, app_id=8))
    monkeypatch.undo()
    assert load_credentials(data_dir) == CREDENTIALS
    assert os.listdir(data_dir) == ["credentials.json"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_file_accessible_to_others_is_refused(data_dir: Path, mode: int) -> None:
    save_credentials(data_dir, CREDENTIALS).chmod(mode)
    with pytest.raises(AssayError, match=rf"other users can access .* \(mode {mode:04o}\): run chmod 600 on it"):
        load_credentials(data_dir)


@pytest.mark.parametrize("mode", [0o750, 0o755, 0o770, 0o777])
def test_a_folder_accessible_to_others_is_refused(data_dir: Path, mode: int) -> None:
    save_credentials(data_dir, CREDENTIALS)
    data_dir.chmod(mode)
    for refused in (
        lambda: load_credentials(data_dir),
        lambda: save_credentials(data_dir, CREDENTIALS),
        lambda: require_private_folder(data_dir),
    ):
        with pytest.raises(AssayError, match=rf"other users can access .* \(mode {mode:04o}\).*run chmod 700 on it"):
            refused()


def test_an_impossible_folder_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AssayError, match="ASSAY_DATA_DIR"):
        require_private_folder(tmp_path / "file" / "data")
    assert load_credentials(tmp_path / "file" / "data") is None


def valid() -> dict[str, object]:
    return {"app_id": 7, "webhook_secrets": ["s3cret"], "private_key": "PEM"}


BROKEN = {
    "empty": b"",
    "cut off": json.dumps(valid()).encode()[:-9],
    "no text": b"\xff\xfe",
    "a list": b"[]",
    "no key": json.dumps({**valid(), "private_key": ""}).encode(),
    "no secret": json.dumps({**valid(), "webhook_secrets": []}).encode(),
    "an empty secret": json.dumps({**valid(), "webhook_secrets": [""]}).encode(),
    "three secrets": json.dumps({**valid(), "webhook_secrets": ["s3cret"] * 3}).encode(),
    "a secret that is none": json.dumps({**valid(), "webhook_secrets": "s3cret"}).encode(),
    "an id in words": json.dumps({**valid(), "app_id": "7"}).encode(),
    "no id": json.dumps({**valid(), "app_id": 0}).encode(),
    "endless": json.dumps({**valid(), "slug": "s3cret" * 20_000}).encode(),
    "deep": b"[" * 50_000,
}


@each_row("content", BROKEN.values())
def test_a_damaged_file_raises_one_line_without_its_content(data_dir: Path, content: bytes) -> None:
    path = credentials_path(data_dir)
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(AssayError, match=r"is damaged: .*assay setup --forget") as refusal:
        load_credentials(data_dir)
    assert "s3cret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert forget_credentials(data_dir)
    assert load_credentials(data_dir) is None


def test_fields_of_later_releases_are_ignored(data_dir: Path) -> None:
    path = credentials_path(data_dir)
    path.touch(mode=0o600)
    path.write_text(json.dumps({**valid(), "something": {"new": 1}}))
    assert load_credentials(data_dir) == AppCredentials(7, "PEM", ("s3cret",))


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["a folder", "a pipe"])
def test_folders_and_pipes_are_refused_without_blocking(data_dir: Path, make: object) -> None:
    make(credentials_path(data_dir))  # type: ignore[operator]
    with pytest.raises(AssayError, match=r"is not a file"):
        load_credentials(data_dir)


def test_forgetting_missing_credentials_is_no_error(data_dir: Path) -> None:
    assert not forget_credentials(data_dir)
    assert not forget_credentials(data_dir / "none")


def test_the_environment_overrides_stored_credentials() -> None:
    assert credentials_from(GivenCredentials(), CREDENTIALS) == CREDENTIALS
    assert credentials_from(GivenCredentials(), None) is None
    for stored in (None, CREDENTIALS):
        assert credentials_from(GIVEN, stored) == AppCredentials(9, PEM, ("from-outside",))


def test_the_previous_secret_is_second() -> None:
    def secrets(previous: str) -> tuple[str, ...]:
        found = credentials_from(replace(GIVEN, previous_webhook_secret=previous), None)
        assert found is not None
        return found.webhook_secrets

    assert secrets("older") == ("from-outside", "older")
    assert secrets("from-outside") == ("from-outside",)


HALF_GIVEN = [
    (GivenCredentials(app_id=9), "set ASSAY_PRIVATE_KEY (or ASSAY_PRIVATE_KEY_FILE) and ASSAY_WEBHOOK_SECRET (or "),
    (replace(GIVEN, app_id=None), "set ASSAY_APP_ID too"),
    (replace(GIVEN, private_key=" \n"), "set ASSAY_PRIVATE_KEY (or ASSAY_PRIVATE_KEY_FILE) too"),
    (replace(GIVEN, webhook_secret=""), "set ASSAY_WEBHOOK_SECRET (or ASSAY_WEBHOOK_SECRET_FILE) too"),
    (GivenCredentials(client_secret="x"), "set ASSAY_APP_ID and ASSAY_PRIVATE_KEY"),
    (GivenCredentials(previous_webhook_secret="x"), "set ASSAY_APP_ID and "),
]


@each_row(("given", "says"), HALF_GIVEN)
@each_row("stored", [None, CREDENTIALS])
def test_an_incomplete_environment_names_the_missing_variables(
    given: GivenCredentials, says: str, stored: AppCredentials | None
) -> None:
    with pytest.raises(AssayError) as refusal:
        credentials_from(given, stored)
    assert says in str(refusal.value)


def test_key_and_secret_files_may_end_with_a_newline(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(PEM + "\n")
    (tmp_path / "secret").write_text("from-outside\n")
    given = GivenCredentials(app_id=9, private_key_file=tmp_path / "key", webhook_secret_file=tmp_path / "secret")
    assert credentials_from(given, None) == AppCredentials(9, PEM, ("from-outside",))
    (tmp_path / "secret").write_text("\n")
    with pytest.raises(AssayError, match="set ASSAY_WEBHOOK_SECRET"):
        credentials_from(given, None)


def test_an_unreadable_file_is_named_with_its_variable(tmp_path: Path) -> None:
    (tmp_path / "endless").write_bytes(b"x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff")
    for name, words in (("none", "No such file"), ("endless", "too large"), ("binary", "not a text file")):
        with pytest.raises(AssayError, match=rf"ASSAY_PRIVATE_KEY_FILE: .*{words}"):
            credentials_from(replace(GIVEN, private_key="", private_key_file=tmp_path / name), None)


def test_white_space_around_a_secret_is_stripped(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("  s3cret\n")
    assert read_secret(tmp_path / "secret", "--webhook-secret-file") == "s3cret"
    (tmp_path / "secret").write_text(" \n")
    with pytest.raises(AssayError, match="--webhook-secret-file is empty"):
        read_secret(tmp_path / "secret", "--webhook-secret-file")


@each_row("spell", [
    lambda pem: pem,
    lambda pem: f"\n  {pem}\n\n",
    lambda pem: pem.replace("\n", "\\n"),
    lambda pem: pem.replace("\n", "\r\n"),
    lambda pem: pem.replace("\n", "\\r\\n"),
])  # fmt: skip
def test_a_key_may_have_any_line_ends(spell: object) -> None:
    assert parse_private_key(spell(PEM), "X") == PEM  # type: ignore[operator]


def elliptic_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def locked_key() -> str:
    key = load_pem_private_key(PEM.encode(), password=None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2")).decode()


NO_KEYS = {
    "words": ("hunter2", "is not a private key"),
    "a certificate": ("-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----", "is not a private key"),
    "a public key": ("-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----", "is not a private key"),
    "cut off": (PEM[:-400], "is damaged"),
    "one letter gone": (PEM[:200] + PEM[201:], "is damaged"),
    "nothing inside": ("-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----", "is damaged"),
    "another kind": (elliptic_key(), "not an RSA key"),
    "locked with a password": (locked_key(), "is damaged"),
}


@each_row(("text", "says"), NO_KEYS.values())
def test_invalid_keys_are_refused_and_not_shown(text: str, says: str) -> None:
    with pytest.raises(AssayError) as refusal:
        parse_private_key(text, "ASSAY_PRIVATE_KEY")
    message = str(refusal.value)
    assert message.startswith("ASSAY_PRIVATE_KEY ")
    assert says in message
    assert refusal.value.__cause__ is None
    assert not any(line in message for line in text.splitlines())


def test_two_keys_of_one_app_are_distinguished() -> None:
    """githubkit caches signatures by App id: a bad key must not profit from a good one before it."""
    parse_private_key(PEM, "X")
    with pytest.raises(AssayError):
        parse_private_key(PEM[:-400], "X")


def test_reprs_contain_no_secrets() -> None:
    shown = f"{GIVEN!r} {GIVEN} {CREDENTIALS!r}"
    assert all(secret not in shown for secret in ("from-outside", "s3cret", "PRIVATE KEY"))
