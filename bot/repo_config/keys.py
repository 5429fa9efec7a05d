"""The table of keys of `.github/assay.yml`, for the parser, the JSON Schema and the documentation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["labels", "expressions", "globs", "permission", "boolean", "model", "minutes"]

LISTS: Final[tuple[Kind, ...]] = ("labels", "expressions", "globs")
PERMISSIONS: Final = ("write", "maintain", "admin")  # loosest first
DEFAULT_PERMISSION: Final = "maintain"
MAX_MINUTES: Final = 7 * 24 * 60
# A name on the hub with its owner: a bare name could be a folder on the server.
MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True, slots=True)
class Key:
    """A key, prefixed with its section and a dot if it is in one."""

    name: str
    kind: Kind
    description: str

    @property
    def field(self) -> str:
        """Return the name of its field in RepositoryConfig."""
        return self.name.replace(".", "_")


KEYS: Final = (
    Key("bug_labels", "labels", "Issue and pull-request labels that mark a bug, replacing the default list."),
    Key("fix_patterns", "expressions", "RE2 patterns: a commit whose subject matches one of them claims to fix a bug."),
    Key(
        "ignore_patterns",
        "expressions",
        "RE2 patterns: a commit whose subject matches one of them is not a fix.",
    ),
    Key("include", "globs", "Paths to read although they are excluded by default (tests, vendored code)."),
    Key("exclude", "globs", "Paths not to read. Takes precedence over `include`."),
    Key("permission", "permission", "The role that a person needs on the repository to start a fine-tuning run."),
    Key("finetune.enabled", "boolean", "Whether fine-tuning runs may be started for this repository."),
    Key("finetune.base_model", "model", "The base model of a run, as owner/name."),
    Key("finetune.max_minutes", "minutes", "The maximum duration of a run, in minutes."),
    Key("quiet", "boolean", "Post a check run only when the verdict changes."),
    Key("publish_ranking", "boolean", "Show the riskiest functions in check runs even if the repository is public."),
    Key(
        "share_outcomes",
        "boolean",
        "Share the figures of runs (density and gain, to three digits, and the month) with other accounts here.",
    ),
)
BY_NAME: Final = {key.name: key for key in KEYS}
SECTIONS: Final = tuple(dict.fromkeys(key.name.partition(".")[0] for key in KEYS if "." in key.name))
