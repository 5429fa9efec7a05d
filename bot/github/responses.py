"""What we read of GitHub's answers: few fields, and as few of them required as can be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from bot.records import Installation, Repository

# GitHub's own roles, strongest first, by the permission that a person holds by them.
_ROLE_OF: Final = {"admin": "admin", "maintain": "maintain", "push": "write", "triage": "triage", "pull": "read"}
_ROLES: Final = frozenset(_ROLE_OF.values()) | {"none"}


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class AccountAnswer(_Answer):
    id: int = 0
    login: str = ""
    slug: str = ""  # an enterprise has this in place of a login
    type: str = ""


class InstallationAnswer(_Answer):
    id: int
    account: AccountAnswer | None = None
    target_type: str = ""
    permissions: dict[str, str] = {}
    suspended_at: str | None = None

    def value(self) -> Installation:
        account = self.account or AccountAnswer()
        return Installation(
            installation_id=self.id,
            account_id=account.id,
            account_login=account.login or account.slug,
            account_type=account.type or self.target_type,
            state="suspended" if self.suspended_at else "active",
            permissions=self.permissions,
        )


class RepositoryAnswer(_Answer):
    id: int
    full_name: str
    default_branch: str = ""
    private: bool = True  # what is not known to be public is not shown
    archived: bool = False
    disabled: bool = False

    def value(self, installation_id: int) -> Repository:
        return Repository(
            installation_id=installation_id,
            repository_id=self.id,
            full_name=self.full_name,
            default_branch=self.default_branch,
            private=self.private,
            archived=self.archived or self.disabled,
        )


class RepositoriesAnswer(_Answer):
    total_count: int = 0
    repositories: list[RepositoryAnswer] = []


class TokenAnswer(_Answer):
    token: str = Field(repr=False)


class DeliveryAnswer(_Answer):
    id: int
    guid: str
    delivered_at: datetime
    redelivery: bool = False
    status_code: int = 0
    event: str = ""
    action: str | None = None
    installation_id: int | None = None
    repository_id: int | None = None

    @property
    def moment(self) -> datetime:
        return self.delivered_at if self.delivered_at.tzinfo else self.delivered_at.replace(tzinfo=UTC)


class AppAnswer(_Answer):
    id: int
    slug: str = ""
    name: str = ""
    html_url: str = ""
    permissions: dict[str, str] = {}
    events: list[str] = []


class MadeAnswer(_Answer):
    id: int


class CheckRunAppAnswer(_Answer):
    id: int = 0


class CheckRunAnswer(_Answer):
    id: int
    name: str = ""
    external_id: str | None = None
    app: CheckRunAppAnswer | None = None


class CheckRunsAnswer(_Answer):
    total_count: int = 0
    check_runs: list[CheckRunAnswer] = []


class PersonAnswer(AccountAnswer):
    permissions: dict[str, bool] = {}  # "pull", "triage", "push", "maintain", "admin"


class RoleAnswer(_Answer):
    permission: str = "none"
    role_name: str = ""
    user: PersonAnswer | None = None

    @property
    def role(self) -> str:
        """One of GitHub's own roles: in place of a custom one, the one that it builds on."""
        if self.role_name in _ROLES or self.user is None or not self.user.permissions:
            return self.role_name or self.permission
        held = (role for name, role in _ROLE_OF.items() if self.user.permissions.get(name))
        return next(held, self.permission)


class CommentAppAnswer(_Answer):
    id: int = 0


class CommentAnswer(_Answer):
    id: int
    body: str | None = None
    user: AccountAnswer | None = None
    issue_url: str = ""
    performed_via_github_app: CommentAppAnswer | None = None


class _Signature(_Answer):
    date: AwareDatetime


class _CommitFacts(_Answer):
    committer: _Signature


class CommitAnswer(_Answer):
    commit: _CommitFacts
