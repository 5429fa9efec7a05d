"""A configuration file as stored in the database: its settings, its problems and the commit it was read at.

A missing file is stored, too, so that it is not looked up again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from bot.records import Permission
from bot.repo_config.keys import KEYS, LISTS
from bot.repo_config.repository_config import ConfigProblem, ParsedConfig, RepositoryConfig
from pipeline.json_fields import Fields, MalformedError

_PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)


@dataclass(frozen=True, slots=True)
class StoredConfig:
    parsed: ParsedConfig = field(default_factory=ParsedConfig)
    head_sha: str = ""  # the commit it was read at; empty if its repository cannot be read
    found: bool = False  # the file exists


NOTHING_STORED: Final = StoredConfig()


def dump_config(stored: StoredConfig) -> dict[str, Any]:
    """Return JSON values."""
    config = {name: value for name, value in dataclasses.asdict(stored.parsed.config).items() if value is not None}
    return {
        "head_sha": stored.head_sha,
        "found": stored.found,
        "config": {name: list(value) if isinstance(value, tuple) else value for name, value in config.items()},
        "problems": [dataclasses.asdict(problem) for problem in stored.parsed.problems],
    }


def load_config(value: Mapping[str, Any] | None) -> StoredConfig:
    """Load JSON values. None, and values of another release that cannot be read, count as never stored."""
    if value is None:
        return NOTHING_STORED
    try:
        fields = Fields(value, "config")
        problems = tuple(
            ConfigProblem(row.whole("line"), row.text("key", empty=True), row.text("message"))
            for row in fields.objects("problems")
        )
        parsed = ParsedConfig(_config(fields.inner("config")), problems)
        return StoredConfig(parsed, fields.text("head_sha", empty=True), fields.flag("found"))
    except MalformedError:
        return NOTHING_STORED


def _config(fields: Fields) -> RepositoryConfig:
    return RepositoryConfig(**{key.field: _value(fields, key.field, key.kind) for key in KEYS if key.field in fields})


def _value(fields: Fields, name: str, kind: str) -> Any:
    if kind in LISTS:
        return fields.texts(name)
    if kind == "boolean":
        return fields.flag(name)
    if kind == "minutes":
        return fields.whole(name)
    if kind == "permission":
        return fields.choice(name, _PERMISSIONS)
    return fields.text(name)
