"""`.github/assay.yml` is read at the head, stored, and not read twice; notes quote only the repository's own file."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.handlers.screening.repo_config import changes_labels, load_notes, read_configuration
from bot.jobs.context import READ, JobContext
from bot.messages.screen_notes import config_notes
from bot.records import Repository
from bot.repo_config.effective import effective_config
from bot.repo_config.parse import parse_config
from bot.repo_config.precedence import EffectiveConfig
from bot.repo_config.stored import StoredConfig, load_config
from bot.store.configs import load_configs
from bot.store.jobs import claim_job, request_job
from bot.store.repositories import save_repository
from tests.builders.command_harness import Harness, open_harness
from tests.builders.history import History
from tests.simulator.faults import FOREVER, status

CONTENTS = "GET /repos/acme/{}/contents/.github/assay.yml"


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with open_harness(tmp_path) as opened:
        yield opened


def has(harness: Harness, content: str, name: str = "shop") -> None:
    """A new head of a repository, with this file."""
    folder = harness.world.github.root / "written" / f"{name}.git"
    shutil.rmtree(folder, ignore_errors=True)
    history = History()
    history.commit("start", {".github/assay.yml": content, "at": str(len(harness.world.github.requests))})
    history.write(folder)
    found = [repo for repo in harness.world.github.repositories.values() if repo.name == name]
    (found[0] if found else harness.world.acme.repository(name, folder, private=True)).git_dir = folder


def gets(harness: Harness, name: str) -> None:
    """The installation has one more repository of the account."""
    [repo] = [repo for repo in harness.world.github.repositories.values() if repo.name == name]
    harness.world.installation.add(repo)
    memory = Repository(harness.ids[0], repo.repository_id, repo.full_name, "main", private=True, archived=False)
    harness.write(lambda c: save_repository(c, memory))


def read(harness: Harness) -> EffectiveConfig:
    harness.write(lambda c: request_job(c, *harness.ids, "screen", harness.world.clock.now()))

    async def ask() -> EffectiveConfig:
        async with harness.database.write() as connection:
            job = await claim_job(connection, ["screen"], harness.world.clock.now(), datetime.now(UTC))
        assert job is not None
        context = JobContext(job, harness.parts)
        client = harness.app.installation_client(harness.ids[0], await harness.app.mint(*harness.ids, READ))
        found = await read_configuration(context, client, harness.repository, harness.world.head)
        async with context.conclusion():
            return found

    return harness.runner.run(ask())


def reads(harness: Harness, name: str = "shop") -> int:
    return sum(f"{seen.method} {seen.path}" == CONTENTS.format(name) for seen in harness.world.github.requests)


def test_a_file_takes_effect_and_is_stored(harness: Harness) -> None:
    has(harness, "fix_patterns: ['^mend']\nquiet: true\n")
    found = read(harness)
    assert (found.overlay.fix_patterns, found.quiet) == (("^mend",), True)
    organization, own = harness.read(lambda c: load_configs(c, *harness.ids))
    assert load_config(own) == StoredConfig(
        parse_config(b"fix_patterns: ['^mend']\nquiet: true\n"), harness.world.head, True
    )
    assert load_config(organization) == StoredConfig()


def test_a_commit_is_read_once_and_the_next_one_again(harness: Harness) -> None:
    has(harness, "quiet: true\n")
    assert [read(harness).quiet, read(harness).quiet] == [True, True]
    assert reads(harness) == 1
    has(harness, "quiet: false\n")
    assert read(harness).quiet is False
    assert reads(harness) == 2


def test_anything_but_a_file_configures_nothing(harness: Harness) -> None:
    harness.world.github.fault(
        CONTENTS.format("shop").replace(".", r"\."), status(422, message="this is a folder"), FOREVER
    )
    found = read(harness)
    assert found == effective_config(harness.policy, StoredConfig(), StoredConfig())
    _, own = harness.read(lambda c: load_configs(c, *harness.ids))
    assert load_config(own) == StoredConfig(head_sha=harness.world.head)


def test_the_organizations_file_is_read_with_a_token_for_its_repository_alone(harness: Harness) -> None:
    has(harness, "quiet: true\nfix_patterns: ['^all']\n", ".github")
    has(harness, "fix_patterns: ['^own']\n")
    assert read(harness).quiet is False  # the installation does not have it
    gets(harness, ".github")
    found = read(harness)
    assert (found.quiet, found.overlay.fix_patterns) == (True, ("^own",))
    [holder] = [repo for repo in harness.world.github.repositories.values() if repo.name == ".github"]
    [token] = [t for t in harness.world.github.tokens.values() if t.repository_ids == frozenset({holder.repository_id})]
    assert token.permissions == dict(READ)
    read(harness)
    assert reads(harness, ".github") == 1


def test_an_organizations_file_that_became_inaccessible_no_longer_counts(harness: Harness) -> None:
    has(harness, "quiet: true\n", ".github")
    has(harness, "# nothing\n")
    gets(harness, ".github")
    assert read(harness).quiet is True
    harness.world.github.fault(r"GET /repos/acme/\.github/commits/.*", status(404, message="Not Found"), FOREVER)
    assert read(harness).quiet is False


def test_a_check_run_quotes_its_own_file_and_counts_lines_of_the_organizations(harness: Harness) -> None:
    has(harness, "secret_key: 1\npermission: nobody\n", ".github")
    has(harness, "quiet: true\nbug_label: [x]\n")
    gets(harness, ".github")
    read(harness)
    told = harness.read(lambda c: load_notes(c, harness.policy, harness.repository)).splitlines()
    assert len(told) == 2
    assert told[0].startswith(".github/assay.yml, line 2, bug_label: ")
    assert told[0].endswith("The rest of the file applies.")
    assert told[1] == (
        "2 lines of the organization's .github/assay.yml do not apply: run assay config check on it to see why."
    )


def test_a_file_that_applies_entirely_needs_no_note(harness: Harness) -> None:
    parsed = parse_config(b"quiet: true\n")
    in_force = effective_config(harness.policy, StoredConfig(), StoredConfig(parsed))
    assert list(config_notes(StoredConfig().parsed, parsed, in_force)) == []


@pytest.mark.parametrize(("said", "again"), [("quiet: true\n", False), ("bug_labels: [oops]\n", True)])
def test_only_a_change_of_labels_is_measured_again(harness: Harness, said: str, again: bool) -> None:
    in_force = effective_config(harness.policy, StoredConfig(), StoredConfig(parse_config(said.encode())))
    assert changes_labels(in_force, "") is again
    assert changes_labels(in_force, in_force.overlay.config_hash) is False
    undone = dataclasses.replace(in_force, overlay=type(in_force.overlay)())
    assert changes_labels(undone, in_force.overlay.config_hash) is again
