"""What we read of GitHub's answers: few fields, and as few of them required as can be."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from bot.records import Installation, Repository


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


class RoleAnswer(_Answer):
    permission: str = "none"
    role_name: str = ""
    user: AccountAnswer | None = None


class CommentAnswer(_Answer):
    id: int
    body: str | None = None
    user: AccountAnswer | None = None
    issue_url: str = ""
