"""The App's credentials, from the environment or from `credentials.json` in the data directory.

The file is private from the moment it is created (0600, in a folder of 0700) and written atomically. Errors never
contain any part of a secret.
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
MAX_SECRET_BYTES = 65_536  # a 4096-bit key takes 3,300
PRIVATE_KEY, WEBHOOK_SECRET = "ASSAY_PRIVATE_KEY", "ASSAY_WEBHOOK_SECRET"
_KEY_HINT = "provide the complete .pem file that GitHub generated for the App"


@dataclass(frozen=True, repr=False)
class GivenCredentials:
    """The App's credentials in the environment: one field per variable of that name, empty if unset."""

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
    """The stored file. Unknown fields are ignored: a later release may add some."""

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
    """Return the credentials to use: the environment's if it sets any, else the stored ones.

    Raises AssayError if the environment sets only some of them, naming the missing ones, or if its key is invalid.
    """
    if not given.any:
        return stored
    private_key = given.private_key or _read_text(given.private_key_file, f"{PRIVATE_KEY}_FILE")
    secret = given.webhook_secret or _read_text(given.webhook_secret_file, f"{WEBHOOK_SECRET}_FILE")
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
            "or unset all of them to use the ones that assay setup stored"
        )
    return AppCredentials(
        app_id=given.app_id,
        private_key=parse_private_key(private_key, PRIVATE_KEY if given.private_key else f"{PRIVATE_KEY}_FILE"),
        webhook_secrets=_secrets(secret.strip(), given.previous_webhook_secret.strip()),
        client_id=given.client_id,
        client_secret=given.client_secret,
    )


def parse_private_key(text: str, source: str) -> str:
    r"""Parse a PEM key, whose line ends may be spelled `\n` as in a one-line variable.

    Raises AssayError if the key cannot sign GitHub's tokens; the message names `source` and quotes nothing of the key.
    """
    pem = text.replace("\\r", "").replace("\\n", "\n").replace("\r\n", "\n").strip() + "\n"
    if "-----BEGIN " not in pem or "PRIVATE KEY-----" not in pem:
        raise AssayError(f"{source} is not a private key: {_KEY_HINT}")
    if not _can_sign(pem):
        raise AssayError(f"{source} is damaged or not an RSA key: {_KEY_HINT}")
    return pem


def read_secret(path: Path, source: str) -> str:
    """Read a file that contains one secret and strip surrounding white space. Raises a one-line AssayError."""
    text = _read_text(path, source).strip()
    if not text:
        raise AssayError(f"{source} is empty: {path}")
    return text


def load_credentials(data_dir: Path) -> AppCredentials | None:
    """Load the stored credentials; None if there are none.

    Raises AssayError if other users can access them, or if the file is damaged.
    """
    path = credentials_path(data_dir)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # O_NONBLOCK: opening a pipe would hang
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise AssayError(f"cannot read {path}: {error.strerror}") from None
    try:
        _require_private(os.fstat(descriptor), path)
        _require_private_folder(data_dir)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            raw = file.read(MAX_SECRET_BYTES + 1)
    finally:
        os.close(descriptor)
    try:
        stored = _Stored.model_validate_json(raw if len(raw) <= MAX_SECRET_BYTES else b"")
    except ValidationError:
        raise AssayError(
            f"{path} is damaged: restore it from a backup, or delete it (assay setup --forget) and set up again"
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
    """Write the credentials atomically and durably, readable by their owner only. Return the path.

    Raises AssayError if other users can access the folder; other OSErrors (a full disk) pass through.
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
    descriptor, temporary = tempfile.mkstemp(prefix=".credentials-", suffix=".part", dir=data_dir)  # created as 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(stored.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync_folder(data_dir)
    return path


def forget_credentials(data_dir: Path) -> bool:
    """Delete the stored credentials, damaged or not. Return False if there are none."""
    try:
        os.unlink(credentials_path(data_dir))
    except (FileNotFoundError, NotADirectoryError):
        return False
    _sync_folder(data_dir)
    return True


def require_private_folder(data_dir: Path) -> None:
    """Create the data directory. Raises AssayError if it cannot be used or other users can access it."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise AssayError(
            f"cannot create the folder {data_dir}: {error.strerror}; set ASSAY_DATA_DIR to another folder"
        ) from None
    _require_private_folder(data_dir)
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise AssayError(f"no permission to write to {data_dir}: set ASSAY_DATA_DIR to a folder that you own")


def _secrets(newest: str, previous: str) -> tuple[str, ...]:
    return (newest, previous) if previous and previous != newest else (newest,)


def _can_sign(pem: str) -> bool:
    """Return whether the key makes an RS256 signature. Imports githubkit here: the receiver starts without it."""
    from githubkit import AppAuthStrategy, GitHub
    from githubkit.auth.app import AppAuth
    from githubkit.cache import MemCacheStrategy

    github = GitHub(AppAuthStrategy(1, pem), cache_strategy=MemCacheStrategy())
    try:
        AppAuth(github, 1, pem).get_jwt()
    except Exception:  # the libraries below raise errors of many types, and any of them means the same
        return False
    return True


def _read_text(path: Path | None, source: str) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise AssayError(f"{source}: cannot read {path}: {error.strerror}") from None
    if len(raw) > MAX_SECRET_BYTES:
        raise AssayError(f"{source}: {path} is too large for a secret")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise AssayError(f"{source}: {path} is not a text file") from None


def _require_private(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise AssayError(f"{path} is not a file: move it away")
    if status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        raise AssayError(
            f"other users can access {path} (mode {mode:04o}): run chmod 600 on it, and replace the secrets if anyone "
            "has read it"
        )


def _require_private_folder(folder: Path) -> None:
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        raise AssayError(
            f"other users can access {folder} (mode {mode:04o}), which holds secrets and code: run chmod 700 on it"
        )


def _sync_folder(folder: Path) -> None:
    """Make a renamed file durable by syncing its folder, which some network file systems do not support."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
