"""Find environment variables that look like settings of Assay and are none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Final

from bot.settings import PREFIX, Settings
from pipeline.records import AssayError

KNOWN: Final = tuple(name.upper() for name in Settings.model_fields)
_SIMILAR: Final = 0.8  # METRICS_ADDR and REDIS_URI resemble a setting; what another release may add does not
_FOR_TESTS: Final = "TEST_"
# Kubernetes gives every pod the addresses of a service that is called assay, or assay-redis.
_SERVICE_LINK: Final = re.compile(r"\w*?(?:SERVICE_(?:HOST|PORT)|PORT_[0-9]+_(?:TCP|UDP|SCTP))\w*")
_SERVICE_PORT: Final = re.compile(r"(?:tcp|udp|sctp)://.*")  # ASSAY_PORT=tcp://10.0.0.1:80


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables `ASSAY_*` that Assay does not know, each with the one that it resembles or an empty string.

    Empty variables have no effect, known or not.
    """
    unknown = {}
    for name, value in sorted(environment.items()):
        bare = name.upper().removeprefix(PREFIX)
        ours = name.upper().startswith(PREFIX) and value and not bare.startswith(_FOR_TESTS)
        if ours and bare not in KNOWN and not _SERVICE_LINK.fullmatch(bare) and not _SERVICE_PORT.match(value):
            unknown[name] = _closest(bare)
    return unknown


def require_known(unknown: Mapping[str, str]) -> None:
    """Raise AssayError if a variable resembles a setting: what it was meant to set would not be set."""
    misspelt = [f"{name} is not a setting (did you mean {closest}?)" for name, closest in unknown.items() if closest]
    if misspelt:
        raise AssayError(f"{'; '.join(misspelt)}: correct or unset it")


def _closest(bare: str) -> str:
    joined = {name.replace("_", ""): name for name in KNOWN}
    found = difflib.get_close_matches(bare.replace("_", ""), joined, 1, _SIMILAR)
    return PREFIX + joined[found[0]] if found else ""
