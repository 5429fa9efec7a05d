"""Notes beside a verdict: on the repository's configuration, and on the evidence from issues and pull requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bot.repo_config.parse import CONFIG_PATH, NOTHING_APPLIES
from bot.repo_config.precedence import EffectiveConfig
from bot.repo_config.repository_config import ConfigProblem, ParsedConfig
from pipeline.reports import numbers

EVIDENCE_UNAVAILABLE: Final = (
    "This verdict is based on commit messages alone: GitHub did not return issues and pull requests this time."
)


def config_notes(organization: ParsedConfig, own: ParsedConfig, effective: EffectiveConfig) -> Iterator[str]:
    """Yield what does not apply, as sentences.

    The organization's file is not quoted: its repository may be private.
    """
    for problem in own.problems:
        yield f"{CONFIG_PATH}, {problem}.{_rest(problem)}"
    for overruled in effective.overruled:
        if overruled.level == "repository":
            yield f"{overruled}."
    count = len(organization.problems) + sum(overruled.level == "organization" for overruled in effective.overruled)
    if count:
        yield (
            f"{numbers.counted(count, 'line')} of the organization's {CONFIG_PATH} {'does' if count == 1 else 'do'} "
            "not apply: run assay config check on it to see why."
        )


def evidence_known(facts: int) -> str:
    """Return how many issues and pull requests a screening could use."""
    if facts == 1:
        return "1 issue or pull request of this period is known."
    return f"{facts:,} issues and pull requests of this period are known."


def evidence_missing(permissions: Sequence[str], api_decides: bool) -> str:
    """Return what the App may not read. `api_decides`: the verdict would use it."""
    names = " and ".join(name.replace("_", " ") for name in permissions)
    consequence = (
        "so this verdict is based on commit messages alone" if api_decides else "so their evidence is not known"
    )
    return (
        f"The App may not read {names}, {consequence}. An owner of the account has to accept the permissions that the "
        "App requests."
    )


def _rest(problem: ConfigProblem) -> str:
    return "" if problem.message.endswith(NOTHING_APPLIES) else " The rest of the file applies."
