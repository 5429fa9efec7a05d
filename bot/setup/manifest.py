"""The App's manifest, and GitHub's pages for registering and installing it.

Pure. Permissions and events come from the dispatch table (`bot.receiver.dispatch`), and every URL is built from the
configured ones.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from bot.receiver.dispatch import SUBSETS, events_of, permissions_of
from bot.records import Subset
from pipeline.records import AssayError

WEBHOOK_PATH: Final = "/webhook"
CALLBACK_PATH: Final = "/setup/callback"
MAX_NAME_CHARS: Final = 34  # GitHub's limit
DESCRIPTION: Final = "Tells you whether fine-tuning on a repository's bug-fix history is worth the GPU time."

# What each subset is for, and what it goes without compared to the next ones.
PURPOSES: Final[Mapping[Subset, str]] = {
    "screen": "Measures each repository and posts the verdict as a check run.",
    "evidence": "Also counts issues and pull requests as evidence of bug fixes.",
    "full": "Also responds to commands in comments.",
}
_NO_COMMANDS: Final = "Commands in comments are ignored; the buttons on the check run do the same."
LIMITATIONS: Final[Mapping[Subset, tuple[str, ...]]] = {
    "screen": (
        "Only commit messages count as evidence, not the labels of issues and pull requests.",
        _NO_COMMANDS,
    ),
    "evidence": (_NO_COMMANDS,),
    "full": (),
}

_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True)
class Registration:
    """The choices made on the setup page."""

    name: str
    subset: Subset
    organization: str = ""  # empty for the person's own account


def parse_registration(fields: Mapping[str, str]) -> Registration:
    """Parse the setup page's form. Raises AssayError with one sentence that says what to correct."""
    subset = next((known for known in SUBSETS if known == fields.get("subset")), None)
    if subset is None:
        raise AssayError("Choose what the App may do.")
    owner = fields.get("owner")
    if owner not in ("account", "organization"):
        raise AssayError("Choose who owns the App.")
    organization = fields.get("organization", "").strip() if owner == "organization" else ""
    if owner == "organization" and not _LOGIN.fullmatch(organization):
        raise AssayError("Enter the organization's name as in its URL: letters, digits and hyphens.")
    name = " ".join(fields.get("name", "").split())
    if not (name and name.isprintable() and len(name) <= MAX_NAME_CHARS):
        raise AssayError(f"Enter a name of 1 to {MAX_NAME_CHARS} characters for the App.")
    return Registration(name, subset, organization)


def manifest(registration: Registration, base_url: str) -> dict[str, Any]:
    """Return the manifest of a private App served at `base_url`, which has no trailing slash."""
    return {
        "name": registration.name,
        "description": DESCRIPTION,
        "url": base_url,
        "hook_attributes": {"url": base_url + WEBHOOK_PATH, "active": True},
        "redirect_url": base_url + CALLBACK_PATH,
        "public": False,
        "default_events": list(events_of(registration.subset)),
        "default_permissions": {each.name: each.access for each in permissions_of(registration.subset)},
    }


def registration_url(github_url: str, organization: str, state: str) -> str:
    """Return the URL to which the person's browser posts the manifest."""
    owner = f"/organizations/{quote(organization, safe='')}" if organization else ""
    return f"{github_url}{owner}/settings/apps/new?state={quote(state, safe='')}"


def app_page_url(github_url: str, slug: str) -> str:
    """Return the App's own page, whose path differs between GHES and github.com or *.ghe.com.

    Raises AssayError for an invalid slug, so that nothing else gets into the URL.
    """
    if not _SLUG.fullmatch(slug):
        raise AssayError("GitHub gave the App a name that does not fit into a URL: open the App in GitHub's settings")
    return f"{github_url}/{'apps' if _is_in_the_cloud(github_url) else 'github-apps'}/{slug}"


def install_page_url(github_url: str, slug: str) -> str:
    """Return the page on which the App is installed on repositories."""
    return f"{app_page_url(github_url, slug)}/installations/new"


def unreachable_reason(base_url: str, github_url: str) -> str:
    """Return why GitHub cannot send deliveries to `base_url` and what to do; empty if it probably can."""
    host, github_host = _host(base_url), _host(github_url)
    if _is_loopback(host):
        if _is_loopback(github_host):
            return ""
        why = "can only be reached from its own machine"
    elif _is_private(host) and _is_in_the_cloud(github_url):
        why = "cannot be reached from the internet"
    else:
        return ""
    return (
        f"{base_url} {why}, so {github_host} will not accept it as the webhook address. Set ASSAY_PUBLIC_URL to an "
        "https:// address that leads here (a reverse proxy, or a tunnel to this port) and restart."
    )


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".").lower()


def _is_in_the_cloud(github_url: str) -> bool:
    host = _host(github_url)
    return host == "github.com" or host.endswith(".ghe.com")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal"))
