"""The operator's decisions as plain values, built once from the settings and passed to everything that needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bot.records import Permission
from pipeline.finetuning.recipe import BaseModel


@dataclass(frozen=True)
class Policy:
    """The operator's decisions; the defaults are those of the settings."""

    mode: Literal["post", "observe"] = "post"
    quiet: bool = False
    publish_ranking: bool = False  # on public repositories too
    allowed_accounts: tuple[str, ...] = ()  # logins in lower case; empty: every account
    refused_days: int = 7  # how long the data of an account that is not allowed is kept
    permission: Permission = "write"  # a repository's configuration may only raise it
    web_url: str = "https://github.com"  # where clones come from
    ca_bundle: Path | None = None
    proxies: Mapping[str, str] = field(default_factory=dict, repr=False)  # for clones; may contain passwords
    pack_limit_bytes: int = 4 << 30
    screenings: int = 2  # concurrent screenings per worker
    screening_s: int = 3600  # limit on wall time, and on processor time
    screening_memory_mb: int = 4096
    light_jobs: int = 8  # concurrent light jobs per worker
    lease_s: float = 30.0
    heartbeat_s: float = 5.0
    sweep_s: float = 2.0
    stop_s: float = 10.0  # grace period for light jobs when the worker stops
    base_models: Mapping[str, BaseModel] = field(default_factory=dict)  # models on offer; empty: no fine-tuning
    base_model: str = ""  # the default model
    recipe: Mapping[str, Any] = field(default_factory=dict)  # overrides of the shipped FinetuneRecipe, by field
    finetune_minutes: float = 360.0  # limit per run
    audit_share: float = 0.0  # share of SKIPs that are fine-tuned to test the verdict
    artifacts_days: int = 90  # how long unused adapters are kept
    calibration_scope: Literal["installation", "server"] = "installation"
