"""The operator's settings, read from `ASSAY_*` environment variables. `bot/cli/variables.py` finds unknown ones."""

from __future__ import annotations

import ipaddress
import os
import sys
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.records import AssayError

PREFIX = "ASSAY_"


def default_data_dir() -> Path:
    """Return the platform's folder for user data: XDG on Linux, Library on macOS, AppData on Windows.

    Raises AssayError if there is no home directory.
    """
    xdg_data_home = os.environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(xdg_data_home):  # the XDG specification: ignore relative paths
        return Path(xdg_data_home) / "assay"
    try:
        home = Path.home()
    except RuntimeError:
        raise AssayError("no home directory: set ASSAY_DATA_DIR to a folder for clones and results") from None
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "assay"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "assay"
    return home / ".local" / "share" / "assay"


def _absolute(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"cannot resolve {path}: that home directory is unknown") from None


def _http_url(text: str) -> str:
    """Strip the trailing slash. Raises ValueError unless it is an http(s) URL without credentials."""
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be a URL without user, password, query or fragment")
    return text.strip().rstrip("/")


def _networks(value: object) -> object:
    """Parse addresses and networks, separated by commas. Raises ValueError."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return tuple(ipaddress.ip_network(part, strict=False) for part in parts)
    except ValueError:
        raise ValueError("must be addresses or networks, separated by commas: 10.0.0.7,192.168.0.0/16") from None


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
HttpUrl = Annotated[str, AfterValidator(_http_url)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseSettings):
    """One field per variable: `data_dir` is ASSAY_DATA_DIR."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    data_dir: AbsolutePath = Field(default_factory=default_data_dir)
    database_url: SecretStr | None = None  # default: SQLite in the data directory
    redis_url: SecretStr | None = None  # default: `assay up` starts its own server

    app_id: int | None = None
    private_key: SecretStr | None = None
    private_key_file: FilePath | None = None
    webhook_secret: SecretStr | None = None
    webhook_secret_file: FilePath | None = None
    previous_webhook_secret: SecretStr | None = None  # still accepted while the secret is being rotated
    client_id: str = ""
    client_secret: SecretStr | None = None

    github_url: HttpUrl = "https://github.com"
    github_api_url: HttpUrl | None = None  # default: derived from github_url
    github_token: SecretStr | None = None  # a person's, for `assay screen` only: the App never uses it
    github_api_version: str = "2022-11-28"  # supported by github.com and every supported GHES
    public_url: HttpUrl | None = None  # where GitHub and people reach this server
    ca_bundle: FilePath | None = None
    allowed_accounts: Annotated[tuple[str, ...], NoDecode] = ()  # logins; empty: all
    refused_days: Annotated[int, Field(ge=0)] = 7  # how long the data of an account that is not allowed is kept

    permission: Literal["write", "maintain", "admin"] = "write"  # the lowest role that a repository may configure
    base_models: str = ""  # allowed for fine-tuning: owner/name[@COMMIT | =/DIRECTORY], comma-separated
    base_model: str = ""  # the default among them; empty: the first
    finetune: str = ""  # changed fields of the recipe, as one JSON object
    finetune_minutes: Annotated[float, Field(ge=0.1, le=10_080)] = 360.0  # limit of one run
    audit_share: Annotated[float, Field(ge=0, le=1)] = 0.0  # share of SKIP verdicts that are fine-tuned as a test
    artifacts_url: SecretStr | None = None  # any fsspec URL; default: a folder in the data directory
    artifacts_days: Annotated[int, Field(ge=1)] = 90  # how long unused adapters are kept
    gpu_lease_s: Annotated[float, Field(ge=2)] = 60.0  # a GPU worker that is silent for this long loses its run
    gpu_device: str = ""  # cpu or cuda; empty: the best available
    calibration_scope: Literal["installation", "server"] = "installation"  # server: use shared outcomes too

    mode: Literal["post", "observe"] = "post"  # observe: measure, but post nothing
    quiet: bool = False  # post only changes
    publish_ranking: bool = False  # on public repositories too; always on private ones
    screenings: Annotated[int, Field(ge=1, le=64)] = 2  # concurrent, per worker
    screening_memory_mb: Annotated[int, Field(ge=512)] = 4_096
    screening_minutes: Annotated[int, Field(ge=1)] = 60  # wall time, and CPU time
    pack_limit_mb: Annotated[int, Field(ge=1)] = 4_096  # per clone
    installation_quota_mb: Annotated[int, Field(ge=1)] = 20_480  # clones of one installation
    clone_quota_mb: Annotated[int, Field(ge=1)] = 51_200  # all clones
    free_disk_mb: Annotated[int, Field(ge=0)] = 1_024  # below this, nothing is cloned
    lease_s: Annotated[float, Field(ge=1)] = 30.0  # a worker that is silent for this long loses its job
    sweep_s: Annotated[float, Field(gt=0)] = 2.0  # between sweeps for unannounced work
    metrics_address: str = "127.0.0.1:9464"  # off: disabled
    metrics_token_file: FilePath | None = None  # the bearer token that others than this machine have to send
    pages_address: str = ""  # loopback only; empty: any free port, where only this machine connects; off: disabled
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = ()  # say whom they forward
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
            raise ValueError("must be the App ID that GitHub shows on the App's page")
        return value

    @model_validator(mode="after")
    def _one_of_each_secret(self) -> Settings:
        for name in ("private_key", "webhook_secret"):
            if getattr(self, name) is not None and getattr(self, f"{name}_file") is not None:
                variable = PREFIX + name.upper()
                raise ValueError(f"{variable} and {variable}_FILE are both set: unset one")
        return self

    @property
    def api_url(self) -> str:
        """The URL of GitHub's REST API: api.HOST for github.com and NAME.ghe.com, HOST/api/v3 for a GHES."""
        if self.github_api_url is not None:
            return self.github_api_url
        host = urlsplit(self.github_url).netloc
        is_cloud = host == "github.com" or host.endswith(".ghe.com")
        return f"https://api.{host}" if is_cloud else f"{self.github_url}/api/v3"

    @property
    def artifacts_place(self) -> str:
        """Where the files of fine-tuning runs are stored: the operator's URL, or a folder in the data directory."""
        return str(self.data_dir / "artifacts") if self.artifacts_url is None else self.artifacts_url.get_secret_value()


def load_settings() -> Settings:
    """Load the settings. Raises AssayError naming every invalid variable."""
    try:
        return Settings()
    except ValidationError as error:
        lines = (f"{_variable(e['loc'])}: {_sentence(e['msg'])}" if e["loc"] else e["msg"] for e in error.errors())
        raise AssayError("; ".join(line.removeprefix("Value error, ") for line in lines)) from None


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + ".".join(str(part) for part in location).upper()


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
