"""The fields read from GitHub's responses, as few of them required as possible, and pagination."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qs, urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from bot.records import Installation, Repository

PAGE_SIZE: Final = 100
MAX_PAGES: Final = 500

_NEXT_LINK: Final = re.compile(r'<([^<>]*)>\s*;[^,<]*\brel="?next"?')

# GitHub's own roles, strongest first, by the permission that each of them grants.
_ROLE_OF: Final = {"admin": "admin", "maintain": "maintain", "push": "write", "triage": "triage", "pull": "read"}
_ROLES: Final = frozenset(_ROLE_OF.values()) | {"none"}


def has_next(headers: Mapping[str, str], items: int) -> bool:
    """Return whether there is another page: by the Link header if present, else by whether this page is full."""
    link = headers.get("link", "")
    return bool(_NEXT_LINK.search(link)) if link else items >= PAGE_SIZE


def next_cursor(headers: Mapping[str, str]) -> str:
    """Return the next page's cursor, empty on the last page. The rest of the link's URL is not trusted."""
    link = _NEXT_LINK.search(headers.get("link", ""))
    if not link:
        return ""
    try:
        return parse_qs(urlsplit(link[1]).query).get("cursor", [""])[0]
    except ValueError:
        return ""


class _Response(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class AccountResponse(_Response):
    id: int = 0
    login: str = ""
    slug: str = ""  # an enterprise has a slug instead of a login
    type: str = ""


class InstallationResponse(_Response):
    id: int
    account: AccountResponse | None = None
    target_type: str = ""
    permissions: dict[str, str] = {}
    suspended_at: str | None = None

    def to_installation(self) -> Installation:
        account = self.account or AccountResponse()
        return Installation(
            installation_id=self.id,
            account_id=account.id,
            account_login=account.login or account.slug,
            account_type=account.type or self.target_type,
            state="suspended" if self.suspended_at else "active",
            permissions=self.permissions,
        )


class RepositoryResponse(_Response):
    id: int
    full_name: str
    default_branch: str = ""
    private: bool = True  # unless GitHub says otherwise
    archived: bool = False
    disabled: bool = False

    def to_repository(self, installation_id: int) -> Repository:
        return Repository(
            installation_id=installation_id,
            repository_id=self.id,
            full_name=self.full_name,
            default_branch=self.default_branch,
            private=self.private,
            archived=self.archived or self.disabled,
        )


class RepositoriesResponse(_Response):
    total_count: int = 0
    repositories: list[RepositoryResponse] = []


class TokenResponse(_Response):
    token: str = Field(repr=False)


class DeliveryResponse(_Response):
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
    def delivered_at_utc(self) -> datetime:
        return self.delivered_at if self.delivered_at.tzinfo else self.delivered_at.replace(tzinfo=UTC)


class AppResponse(_Response):
    id: int
    slug: str = ""
    name: str = ""
    html_url: str = ""
    permissions: dict[str, str] = {}
    events: list[str] = []


class HookConfigResponse(_Response):
    url: str = ""


class CreatedResponse(_Response):
    id: int


class CheckRunAppResponse(_Response):
    id: int = 0


class CheckRunResponse(_Response):
    id: int
    name: str = ""
    external_id: str | None = None
    app: CheckRunAppResponse | None = None


class CheckRunsResponse(_Response):
    total_count: int = 0
    check_runs: list[CheckRunResponse] = []


class UserResponse(AccountResponse):
    permissions: dict[str, bool] = {}  # "pull", "triage", "push", "maintain", "admin"


class RoleResponse(_Response):
    permission: str = "none"
    role_name: str = ""
    user: UserResponse | None = None

    @property
    def role(self) -> str:
        """The built-in role; for a custom role, the one that it extends."""
        if self.role_name in _ROLES or self.user is None or not self.user.permissions:
            return self.role_name or self.permission
        granted = (role for name, role in _ROLE_OF.items() if self.user.permissions.get(name))
        return next(granted, self.permission)


class CommentAppResponse(_Response):
    id: int = 0


class CommentResponse(_Response):
    id: int
    body: str | None = None
    user: AccountResponse | None = None
    issue_url: str = ""
    performed_via_github_app: CommentAppResponse | None = None


class _Signature(_Response):
    date: AwareDatetime


class _CommitDetails(_Response):
    committer: _Signature


class CommitResponse(_Response):
    commit: _CommitDetails
