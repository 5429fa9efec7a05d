"""What the operator sets, read in this one place from `ASSAY_*` environment variables; what is not known is ignored."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, FilePath, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.records import AssayError

PREFIX = "ASSAY_"


def default_data_dir() -> Path:
    """Where the platform wants a user's data: XDG on Linux, Library on a Mac, AppData on Windows.

    Raises AssayError where there is no home directory to put it in.
    """
    chosen = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(chosen):  # the XDG specification: a relative path is to be ignored
        return Path(chosen) / "assay"
    try:
        home = Path.home()
    except RuntimeError:
        raise AssayError("there is no home directory: set ASSAY_DATA_DIR to a folder for clones and results") from None
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "assay"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "assay"
    return home / ".local" / "share" / "assay"


def _absolute(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"no home directory is known for {path}") from None


def _http_url(text: str) -> str:
    """An address without a slash at its end. Raises ValueError unless it is http(s) and holds no credentials."""
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be an address without user, password, query and fragment")
    return text.strip().rstrip("/")


HttpUrl = Annotated[str, AfterValidator(_http_url)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseSettings):
    """One field a variable: `data_dir` is ASSAY_DATA_DIR."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    data_dir: AbsolutePath = Field(default_factory=default_data_dir)
    database_url: SecretStr | None = None  # SQLite in the data directory where not set
    redis_url: SecretStr | None = None  # a server of our own where not set

    app_id: int | None = None
    private_key: SecretStr | None = None
    private_key_file: FilePath | None = None
    webhook_secret: SecretStr | None = None
    webhook_secret_file: FilePath | None = None
    previous_webhook_secret: SecretStr | None = None  # still valid while a new one is being introduced
    client_id: str = ""
    client_secret: SecretStr | None = None

    github_url: HttpUrl = "https://github.com"
    github_api_url: HttpUrl | None = None  # follows from github_url where not set
    github_token: SecretStr | None = None  # of a person, for `assay screen` alone: the App never uses it
    github_api_version: str = "2022-11-28"  # the one that github.com and every GHES in support know
    public_url: HttpUrl | None = None  # where GitHub and people reach this server
    ca_bundle: FilePath | None = None
    allowed_accounts: Annotated[tuple[str, ...], NoDecode] = ()  # logins; everybody where empty

    permission: Literal["write", "maintain", "admin"] = "write"  # the least role that a repository may ask for
    base_models: str = (
        ""  # allowed for fine-tuning: owner/name, owner/name@REVISION or owner/name=/DIRECTORY, by commas
    )
    base_model: str = ""  # of them, where nobody names one; the first where not set
    finetune: str = ""  # fields of the recipe that differ, as one JSON object
    finetune_minutes: Annotated[float, Field(ge=0.1, le=10_080)] = 360.0  # of one run, at most
    audit_share: Annotated[float, Field(ge=0, le=1)] = 0.0  # of SKIPs that are run to test them
    artifacts_url: SecretStr | None = None  # any fsspec URL; a folder of the data directory where not set
    artifacts_days: Annotated[int, Field(ge=1)] = 90  # that adapters are kept which nothing uses
    gpu_lease_s: Annotated[float, Field(ge=2)] = 60.0  # a GPU worker that is silent for so long has lost its run
    gpu_device: str = ""  # cpu or cuda; what there is where not set
    calibration_scope: Literal["installation", "server"] = "installation"  # server: with what others share

    mode: Literal["post", "observe"] = "post"  # observe: measure and post nothing
    quiet: bool = False  # post only what changed
    publish_ranking: bool = False  # on public repositories too; on private ones always
    screenings: Annotated[int, Field(ge=1, le=64)] = 2  # at once, of one worker
    screening_memory_mb: Annotated[int, Field(ge=512)] = 4_096
    screening_minutes: Annotated[int, Field(ge=1)] = 60  # of wall time and, a processor, of CPU time
    pack_limit_mb: Annotated[int, Field(ge=1)] = 4_096  # of one clone
    installation_quota_mb: Annotated[int, Field(ge=1)] = 20_480  # of all clones of an installation
    clone_quota_mb: Annotated[int, Field(ge=1)] = 51_200  # of all clones
    free_disk_mb: Annotated[int, Field(ge=0)] = 1_024  # with less, nothing is cloned
    lease_s: Annotated[float, Field(ge=1)] = 30.0  # a worker that is silent for so long has lost its job
    sweep_s: Annotated[float, Field(gt=0)] = 2.0  # between two looks for work that nobody was told of
    metrics_address: str = "127.0.0.1:9464"  # loopback; off: none
    log_format: Literal["console", "json"] = "console"

    @field_validator("allowed_accounts", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("app_id")
    @classmethod
    def _positive(cls, value: int | None) -> int | None:
        if value is not None and value < 1:
            raise ValueError("must be the number that GitHub shows on the App's page")
        return value

    @model_validator(mode="after")
    def _one_of_each_secret(self) -> Settings:
        for name in ("private_key", "webhook_secret"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                variable = PREFIX + name.upper()
                raise ValueError(f"{variable} and {variable}_FILE are both set: keep one")
        return self

    @property
    def api_url(self) -> str:
        """Where GitHub's REST API is: a host of its own on github.com and NAME.ghe.com, /api/v3 of a GHES."""
        if self.github_api_url is not None:
            return self.github_api_url
        host = urlsplit(self.github_url).netloc
        in_the_cloud = host == "github.com" or host.endswith(".ghe.com")
        return f"https://api.{host}" if in_the_cloud else f"{self.github_url}/api/v3"

    @property
    def artifacts_place(self) -> str:
        """Where the files of fine-tuning runs are kept: the operator's URL, else a folder of the data directory."""
        return str(self.data_dir / "artifacts") if self.artifacts_url is None else self.artifacts_url.get_secret_value()


def load_settings() -> Settings:
    """The settings in force. Raises AssayError with the name of every variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        said = (f"{_variable(e['loc'])}: {_sentence(e['msg'])}" if e["loc"] else e["msg"] for e in error.errors())
        raise AssayError("; ".join(line.removeprefix("Value error, ") for line in said)) from None


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + ".".join(str(part) for part in location).upper()


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
