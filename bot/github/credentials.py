"""What the App knows itself by: from the environment, or from `credentials.json` in the data directory.

The file is its owner's alone from its birth (0600, in a folder of 0700) and is written whole or not at all. Nothing
of a secret is ever part of an error.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bot.records import AppCredentials
from pipeline.records import AssayError

FILE_NAME = "credentials.json"
MOST_BYTES = 65_536  # of a secret's file; a 4096-bit key takes 3,300
PRIVATE_KEY, WEBHOOK_SECRET = "ASSAY_PRIVATE_KEY", "ASSAY_WEBHOOK_SECRET"


@dataclass(frozen=True, repr=False)
class GivenCredentials:
    """What the environment says of the App: each field is the variable of the same name, empty where it is not set."""

    app_id: int | None = None
    private_key: str = ""
    private_key_file: Path | None = None
    webhook_secret: str = ""
    webhook_secret_file: Path | None = None
    previous_webhook_secret: str = ""
    client_id: str = ""
    client_secret: str = ""

    @property
    def any(self) -> bool:
        return self != GivenCredentials()


class _Stored(BaseModel):
    """The file. An unknown field is one of a later release, and is ignored."""

    model_config = ConfigDict(hide_input_in_errors=True, strict=True)

    app_id: Annotated[int, Field(gt=0)]
    slug: str = ""
    client_id: str = ""
    client_secret: str = ""
    webhook_secrets: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=2)]
    private_key: Annotated[str, Field(min_length=1)]


def credentials_path(data_dir: Path) -> Path:
    return data_dir / FILE_NAME


def credentials_from(given: GivenCredentials, stored: AppCredentials | None) -> AppCredentials | None:
    """The credentials in force: the environment's where it says anything, else the stored ones.

    Raises AssayError where the environment is half given, naming what is missing, or where its key is none.
    """
    if not given.any:
        return stored
    private_key = given.private_key or _text_of(given.private_key_file, f"{PRIVATE_KEY}_FILE")
    secret = given.webhook_secret or _text_of(given.webhook_secret_file, f"{WEBHOOK_SECRET}_FILE")
    missing = [
        name
        for name, value in (
            ("ASSAY_APP_ID", given.app_id),
            (f"{PRIVATE_KEY} (or {PRIVATE_KEY}_FILE)", private_key.strip()),
            (f"{WEBHOOK_SECRET} (or {WEBHOOK_SECRET}_FILE)", secret.strip()),
        )
        if not value
    ]
    if missing or given.app_id is None:
        raise AssayError(
            f"the App's credentials in the environment are incomplete: set {' and '.join(missing)} too, "
            "or none of them to use the ones that assay setup stored"
        )
    return AppCredentials(
        app_id=given.app_id,
        private_key=parse_private_key(private_key, PRIVATE_KEY if given.private_key else f"{PRIVATE_KEY}_FILE"),
        webhook_secrets=_secrets(secret.strip(), given.previous_webhook_secret.strip()),
        client_id=given.client_id,
        client_secret=given.client_secret,
    )


def parse_private_key(text: str, said_by: str) -> str:
    r"""The PEM in `text`, whose line ends may be spelled `\n` as in a one-line variable.

    Raises AssayError, naming `said_by` and nothing of the text, unless GitHub's signature can be made with it.
    """
    pem = text.replace("\\r", "").replace("\\n", "\n").replace("\r\n", "\n").strip() + "\n"
    if "-----BEGIN " not in pem or "PRIVATE KEY-----" not in pem:
        raise AssayError(f"{said_by} is no private key: give the .pem file that GitHub made for the App, whole")
    if not _signs(pem):
        raise AssayError(f"{said_by} is damaged or no RSA key: give the .pem file that GitHub made for the App, whole")
    return pem


def read_secret(path: Path, said_by: str) -> str:
    """The text of a file that holds one secret, without white space around it. Raises AssayError with one line."""
    text = _text_of(path, said_by).strip()
    if not text:
        raise AssayError(f"{said_by} is empty: {path}")
    return text


def load_credentials(data_dir: Path) -> AppCredentials | None:
    """The stored credentials; None where there are none.

    Raises AssayError where others may read or change them, or where the file is damaged.
    """
    path = credentials_path(data_dir)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe would wait for ever
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AssayError(f"cannot read {path}: {error.strerror}") from None
    try:
        _require_private(os.fstat(descriptor), path)
        _require_private_folder(data_dir)
        with os.fdopen(descriptor, "rb", closefd=False) as opened:
            raw = opened.read(MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    try:
        stored = _Stored.model_validate_json(raw if len(raw) <= MOST_BYTES else b"")
    except ValidationError:
        raise AssayError(
            f"{path} is damaged: restore it from a backup, or forget it (assay setup --forget) and set up again"
        ) from None
    return AppCredentials(
        app_id=stored.app_id,
        private_key=stored.private_key,
        webhook_secrets=tuple(stored.webhook_secrets),
        client_id=stored.client_id,
        client_secret=stored.client_secret,
        slug=stored.slug,
    )


def save_credentials(data_dir: Path, credentials: AppCredentials) -> Path:
    """Write the credentials whole, durably and for their owner alone; returns where.

    Raises AssayError where the folder is open to others; other OSErrors (a full disk) pass through.
    """
    require_private_folder(data_dir)
    path = credentials_path(data_dir)
    stored = _Stored(
        app_id=credentials.app_id,
        slug=credentials.slug,
        client_id=credentials.client_id,
        client_secret=credentials.client_secret,
        webhook_secrets=list(credentials.webhook_secrets),
        private_key=credentials.private_key,
    )
    descriptor, temporary = tempfile.mkstemp(prefix=".credentials-", suffix=".part", dir=data_dir)  # 0600 from birth
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(stored.model_dump_json(indent=2) + "\n")
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync_folder(data_dir)
    return path


def forget_credentials(data_dir: Path) -> bool:
    """Delete the stored credentials, damaged or not. False where there are none."""
    try:
        os.unlink(credentials_path(data_dir))
    except (FileNotFoundError, NotADirectoryError):
        return False
    _sync_folder(data_dir)
    return True


def require_private_folder(data_dir: Path) -> None:
    """Make the data directory, or raise AssayError where others may look into it: better said before than after."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise AssayError(
            f"cannot make the folder {data_dir}: {error.strerror}; set ASSAY_DATA_DIR to another"
        ) from None
    _require_private_folder(data_dir)
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise AssayError(f"no permission to write in {data_dir}: set ASSAY_DATA_DIR to a folder of your own")


def _secrets(newest: str, previous: str) -> tuple[str, ...]:
    return (newest, previous) if previous and previous != newest else (newest,)


def _signs(pem: str) -> bool:
    """Can an RS256 signature be made with this key? Imported here: the receiver starts without it."""
    from githubkit import AppAuthStrategy, GitHub
    from githubkit.auth.app import AppAuth
    from githubkit.cache import MemCacheStrategy

    github = GitHub(AppAuthStrategy(1, pem), cache_strategy=MemCacheStrategy())
    try:
        AppAuth(github, 1, pem).get_jwt()
    except Exception:  # each of the libraries below raises a kind of its own; whichever it is, the key does not sign
        return False
    return True


def _text_of(path: Path | None, said_by: str) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise AssayError(f"{said_by}: cannot read {path}: {error.strerror}") from None
    if len(raw) > MOST_BYTES:
        raise AssayError(f"{said_by}: {path} is too large for a secret")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise AssayError(f"{said_by}: {path} is no text") from None


def _require_private(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise AssayError(f"{path} is not a file: move it away")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise AssayError(
            f"{path} is open to others (mode {mode:04o}): chmod 600 it, and make new secrets if it was read"
        )


def _require_private_folder(folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        raise AssayError(f"{folder} is open to others (mode {mode:04o}), and holds secrets and code: chmod 700 it")


def _sync_folder(folder: Path) -> None:
    """A new name is on the disk only when its folder is. Some network file systems cannot, and need not."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
