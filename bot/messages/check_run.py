"""Names, limits and the closing sentence that both check runs share."""

from __future__ import annotations

from typing import Final, Literal, Protocol

from bot.messages.markdown import fit
from bot.records import CheckAction, CheckRunFields, StoredCheckRun
from pipeline.reports.escape import inert

SCREEN: Final = "assay/screen"
FINETUNE: Final = "assay/finetune"
MAX_TITLE: Final = 255
NEVER_BLOCKS: Final = "This never blocks a merge. Please do not make it a required check."

Conclusion = Literal["success", "neutral", "cancelled"]


SUPERSEDED: Final = "This result was posted twice. The newest check run of this name on this commit stands."


class Target(Protocol):
    """The commit that a check run is posted on."""

    @property
    def head_sha(self) -> str: ...

    @property
    def external_id(self) -> str: ...


def build_check_run(
    name: str,
    target: Target,
    conclusion: Conclusion,
    title: str,
    summary: str,
    text: str = "",
    *,
    cut: str,
    actions: tuple[CheckAction, ...] = (),
) -> CheckRunFields:
    """Return the fields within GitHub's limits. `cut`: Markdown that ends a summary or text that is too long."""
    return CheckRunFields(
        name=name,
        head_sha=target.head_sha,
        external_id=target.external_id,
        conclusion=conclusion,
        title=inert(title, MAX_TITLE - 1),
        summary=fit(summary, cut),
        text=fit(text, cut),
        actions=actions,
    )


def superseded_check(row: StoredCheckRun) -> CheckRunFields:
    """Return what a duplicate shows: nothing but that another one stands. Its external id names no row."""
    return CheckRunFields(
        name=row.name,
        head_sha=row.head_sha,
        external_id=f"superseded/{row.row_id}",
        conclusion="neutral",
        title="Superseded by a newer check run",
        summary=SUPERSEDED,
        text=SUPERSEDED,  # replaces the result's, which an empty one would leave
    )
