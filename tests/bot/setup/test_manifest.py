import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.receiver.dispatch import SUBSETS
from bot.setup.manifest import (
    LIMITATIONS,
    MAX_NAME_CHARS,
    PURPOSES,
    Registration,
    app_page_url,
    install_page_url,
    manifest,
    parse_registration,
    registration_url,
    unreachable_reason,
)
from pipeline.records import AssayError
from tests.rows import each_row

SCREEN = {"checks": "write", "contents": "read", "metadata": "read"}
FIELDS = {"owner": "account", "organization": "", "subset": "screen", "name": "Assay"}


@pytest.mark.parametrize(
    ("subset", "permissions"),
    [
        ("screen", SCREEN),
        ("evidence", SCREEN | {"issues": "read", "pull_requests": "read"}),
        ("full", SCREEN | {"issues": "write", "pull_requests": "read"}),
    ],
)
def test_a_subset_requests_exactly_its_permissions(subset: str, permissions: dict[str, str]) -> None:
    made = manifest(parse_registration({**FIELDS, "subset": subset}), "https://assay.example")
    assert made["default_permissions"] == permissions
    assert ("issue_comment" in made["default_events"]) is (subset == "full")


def test_the_app_is_private_with_an_active_webhook() -> None:
    made = manifest(Registration("Assay", "screen"), "https://assay.example/below")
    assert (made["public"], made["name"], made["url"]) == (False, "Assay", "https://assay.example/below")
    assert made["hook_attributes"] == {"url": "https://assay.example/below/webhook", "active": True}
    assert made["redirect_url"] == "https://assay.example/below/setup/callback"
    assert made["default_events"] == ["check_run", "check_suite", "push", "repository"]
    assert json.loads(json.dumps(made)) == made


def test_events_that_are_always_sent_are_not_listed() -> None:
    for subset in SUBSETS:
        events = manifest(Registration("Assay", subset), "https://assay.example")["default_events"]
        assert not {"installation", "installation_repositories", "github_app_authorization", "ping"} & set(events)


def test_every_subset_has_a_purpose_and_all_but_the_last_have_limitations() -> None:
    assert set(PURPOSES) == set(LIMITATIONS) == set(SUBSETS)
    assert all(PURPOSES.values())
    assert [len(LIMITATIONS[subset]) for subset in SUBSETS] == [2, 1, 0]


@each_row(
    ("fields", "registration"),
    [
        ({}, Registration("Assay", "screen")),
        ({"subset": "full"}, Registration("Assay", "full")),
        ({"owner": "organization", "organization": " acme-inc "}, Registration("Assay", "screen", "acme-inc")),
        ({"organization": "acme"}, Registration("Assay", "screen")),  # typed, then thought better of
        ({"name": "  Assay \n for  acme "}, Registration("Assay for acme", "screen")),
        ({"name": "n" * MAX_NAME_CHARS}, Registration("n" * MAX_NAME_CHARS, "screen")),
    ],
)
def test_valid_forms_are_parsed(fields: dict[str, str], registration: Registration) -> None:
    assert parse_registration({**FIELDS, **fields}) == registration


@each_row(
    ("fields", "says"),
    [
        ({"subset": "admin"}, "what the App may do"),
        ({"subset": ""}, "what the App may do"),
        ({"owner": "enterprise"}, "who owns the App"),
        ({"owner": "organization", "organization": ""}, "organization's name"),
        ({"owner": "organization", "organization": "acme/.."}, "organization's name"),
        ({"owner": "organization", "organization": "a" * 40}, "organization's name"),
        ({"owner": "organization", "organization": "-acme"}, "organization's name"),
        ({"owner": "organization", "organization": "acmé"}, "organization's name"),
        ({"owner": "organization", "organization": "acme\n"[:5] + "x?y"}, "organization's name"),
        ({"name": " "}, "1 to 34"),
        ({"name": "n" * (MAX_NAME_CHARS + 1)}, "1 to 34"),
        ({"name": "Assay\u202eyassA"}, "1 to 34"),
        ({"name": "Assay\x00"}, "1 to 34"),
    ],
)
def test_invalid_forms_are_explained(fields: dict[str, str], says: str) -> None:
    with pytest.raises(AssayError, match=says):
        parse_registration({**FIELDS, **fields})


@given(st.dictionaries(st.sampled_from(["owner", "organization", "subset", "name"]), st.text()))
def test_any_form_is_parsed_or_explained(fields: dict[str, str]) -> None:
    with contextlib.suppress(AssayError):
        registration = parse_registration(fields)
        assert registration.organization.isascii()
        assert registration.name.isprintable()


@pytest.mark.parametrize(
    ("github_url", "organization", "address"),
    [
        ("https://github.com", "", "https://github.com/settings/apps/new?state=s%2B1"),
        ("https://github.com", "acme", "https://github.com/organizations/acme/settings/apps/new?state=s%2B1"),
        ("https://ghes.example:8443", "a", "https://ghes.example:8443/organizations/a/settings/apps/new?state=s%2B1"),
    ],
)
def test_the_form_posts_to_the_configured_github(github_url: str, organization: str, address: str) -> None:
    assert registration_url(github_url, organization, "s+1") == address


@each_row(
    ("github_url", "page"),
    [
        ("https://github.com", "https://github.com/apps/assay-1"),
        ("https://acme.ghe.com", "https://acme.ghe.com/apps/assay-1"),
        ("https://ghes.example", "https://ghes.example/github-apps/assay-1"),
        ("https://notgithub.com", "https://notgithub.com/github-apps/assay-1"),
    ],
)
def test_the_apps_page_is_built_from_the_configured_url(github_url: str, page: str) -> None:
    assert app_page_url(github_url, "assay-1") == page
    assert install_page_url(github_url, "assay-1") == f"{page}/installations/new"


@each_row("slug", ["", "..", "a/b", "a?b", "a b", "@evil", "a\n", "é", "a" * 101])
def test_invalid_slugs_do_not_get_into_a_url(slug: str) -> None:
    with pytest.raises(AssayError, match="does not fit into a URL"):
        app_page_url("https://github.com", slug)


@each_row(
    ("base_url", "github_url", "reachable"),
    [
        ("https://assay.example", "https://github.com", True),
        ("https://203.0.113.9", "https://github.com", False),  # set aside for documentation: not global
        ("https://8.8.8.8", "https://github.com", True),
        ("http://127.0.0.1:8000", "https://github.com", False),
        ("http://localhost:8000", "https://github.com", False),
        ("http://assay.localhost", "https://github.com", False),
        ("http://LOCALHOST.:8000", "https://github.com", False),
        ("http://[::1]:8000", "https://github.com", False),
        ("http://192.168.1.4", "https://github.com", False),
        ("http://[fd00::1]", "https://github.com", False),
        ("http://build-box:8000", "https://github.com", False),
        ("http://assay.internal", "https://acme.ghe.com", False),
        ("http://192.168.1.4", "https://ghes.corp.example", True),
        ("http://build-box:8000", "https://ghes.corp.example", True),
        ("http://127.0.0.1:8000", "https://ghes.corp.example", False),
        ("http://127.0.0.1:8000", "http://127.0.0.1:9000", True),
        ("http://localhost:8000", "http://127.0.0.1:9000", True),
    ],
)
def test_unreachable_addresses_are_recognised(base_url: str, github_url: str, reachable: bool) -> None:
    why = unreachable_reason(base_url, github_url)
    assert (why == "") is reachable
    if why:
        assert base_url in why
        assert "ASSAY_PUBLIC_URL" in why
        assert "tunnel" in why
