"""Every key of `.github/assay.yml` in one table: the parser, the editors' schema and the documentation follow it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from pipeline.classify.patterns import MAX_PATTERN_BYTES, MAX_PATTERNS

Kind = Literal["labels", "expressions", "globs", "permission", "boolean", "model", "minutes"]

MOST_ITEMS: Final = MAX_PATTERNS
LONGEST_ITEM_BYTES: Final = MAX_PATTERN_BYTES
LISTS: Final[tuple[Kind, ...]] = ("labels", "expressions", "globs")
PERMISSIONS: Final = ("write", "maintain", "admin")  # loosest first
DEFAULT_PERMISSION: Final = "maintain"
MOST_MINUTES: Final = 7 * 24 * 60
# A name on the hub, owner and all: a name alone could be a folder of the server.
MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True, slots=True)
class Key:
    """One key; a dot parts it from the section that it stands in."""

    name: str
    kind: Kind
    about: str

    @property
    def field(self) -> str:
        """Its field of RepositoryConfig."""
        return self.name.replace(".", "_")


KEYS: Final = (
    Key("bug_labels", "labels", "Issue and pull-request labels that mean a bug, instead of the default list."),
    Key("fix_patterns", "expressions", "A commit in whose subject one of these is found claims to fix a bug."),
    Key("ignore_patterns", "expressions", "A commit in whose subject one of these is found is no fix."),
    Key("include", "globs", "Paths that are read although they are left out by default (tests, vendored code)."),
    Key("exclude", "globs", "Paths that are not read. It wins over `include`."),
    Key("permission", "permission", "What a person needs on the repository to start a fine-tuning run."),
    Key("finetune.enabled", "boolean", "Whether fine-tuning runs may be started for this repository."),
    Key("finetune.base_model", "model", "The base model of a run, as owner/name."),
    Key("finetune.max_minutes", "minutes", "The longest a run may take, in minutes."),
    Key("quiet", "boolean", "Post a check run only when the verdict changed."),
    Key("publish_ranking", "boolean", "Show the riskiest functions in the check runs of a public repository too."),
    Key(
        "share_outcomes",
        "boolean",
        "Share the figures of runs (density and gain, to three digits, and the month) with others of the server.",
    ),
)
BY_NAME: Final = {key.name: key for key in KEYS}
SECTIONS: Final = tuple(dict.fromkeys(key.name.partition(".")[0] for key in KEYS if "." in key.name))
