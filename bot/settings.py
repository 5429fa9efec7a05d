"""What the operator sets, read in this one place from `ASSAY_*` environment variables; what is not known is ignored."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, FilePath, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

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


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseSettings):
    """One field a variable: `data_dir` is ASSAY_DATA_DIR."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    data_dir: AbsolutePath = Field(default_factory=default_data_dir)
    ca_bundle: FilePath | None = None
    log_format: Literal["console", "json"] = "console"


def load_settings() -> Settings:
    """The settings in force. Raises AssayError with the name of every variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        raise AssayError("; ".join(f"{_variable(e['loc'])}: {_sentence(e['msg'])}" for e in error.errors())) from None


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + ".".join(str(part) for part in location).upper()


def _sentence(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
