"""What is registered on GitHub: the App's manifest, the page it is sent to, and the page where it is installed.

Pure. The permissions and events are those of the dispatch table (`bot.receiver.dispatch`); every address is built from
the configured ones.
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
LONGEST_NAME: Final = 34  # GitHub's limit
DESCRIPTION: Final = "Tells whether fine-tuning on a repository's bug-fix history is worth the GPU time."

# What each subset is for, and what an App with less than the next one goes without.
PURPOSES: Final[Mapping[Subset, str]] = {
    "screen": "Measures each repository and posts the verdict as a check run.",
    "evidence": "Also counts issues and pull requests as evidence of a bug fix.",
    "full": "Also answers commands in comments.",
}
LACKS: Final[Mapping[Subset, tuple[str, ...]]] = {
    "screen": (
        "Labels of issues and pull requests do not count as evidence: only commit messages do.",
        "Commands in comments are not answered: the buttons of the check run do the same.",
    ),
    "evidence": ("Commands in comments are not answered: the buttons of the check run do the same.",),
    "full": (),
}

_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True)
class Registration:
    """What a person chose on the setup page."""

    name: str
    subset: Subset
    organization: str = ""  # empty: the person's own account


def parse_registration(fields: Mapping[str, str]) -> Registration:
    """What the form of the setup page says. Raises AssayError with one sentence a person can act on."""
    subset = next((known for known in SUBSETS if known == fields.get("subset")), None)
    if subset is None:
        raise AssayError("Choose what the App may do.")
    owner = fields.get("owner")
    if owner not in ("account", "organization"):
        raise AssayError("Choose whose App it is.")
    organization = fields.get("organization", "").strip() if owner == "organization" else ""
    if owner == "organization" and not _LOGIN.fullmatch(organization):
        raise AssayError("Give the organization's name as it is in its address: letters, digits and hyphens.")
    name = " ".join(fields.get("name", "").split())
    if not (name and name.isprintable() and len(name) <= LONGEST_NAME):
        raise AssayError(f"Give the App a name of 1 to {LONGEST_NAME} characters.")
    return Registration(name, subset, organization)


def manifest(registration: Registration, base_url: str) -> dict[str, Any]:
    """The manifest of a private App that is reached at `base_url`, an address without a slash at its end."""
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


def form_address(github_url: str, organization: str, state: str) -> str:
    """Where the manifest is sent by the person's browser."""
    owner = f"/organizations/{quote(organization, safe='')}" if organization else ""
    return f"{github_url}{owner}/settings/apps/new?state={quote(state, safe='')}"


def app_address(github_url: str, slug: str) -> str:
    """The App's own page. A GHES keeps it elsewhere than github.com and *.ghe.com do.

    Raises AssayError for a slug that is none, so that nothing foreign gets into an address.
    """
    if not _SLUG.fullmatch(slug):
        raise AssayError("GitHub gave the App no name that can be part of an address: open it in GitHub's settings")
    return f"{github_url}/{'apps' if _is_in_the_cloud(github_url) else 'github-apps'}/{slug}"


def install_address(github_url: str, slug: str) -> str:
    """Where the App is installed on repositories."""
    return f"{app_address(github_url, slug)}/installations/new"


def why_unreachable(base_url: str, github_url: str) -> str:
    """Why GitHub cannot send deliveries to `base_url`, and what to do; empty where nothing speaks against it."""
    host, github_host = _host(base_url), _host(github_url)
    if _is_loopback(host):
        if _is_loopback(github_host):
            return ""
        what = "is reached only from the machine it is on"
    elif _is_private(host) and _is_in_the_cloud(github_url):
        what = "is not reached from the internet"
    else:
        return ""
    return (
        f"{base_url} {what}, so {github_host} refuses it as the address of deliveries. Set ASSAY_PUBLIC_URL to an "
        "https:// address that leads here (a reverse proxy, or a tunnel to this port) and start again."
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
