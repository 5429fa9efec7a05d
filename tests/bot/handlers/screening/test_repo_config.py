"""`.github/assay.yml` read at the head, remembered, and not read twice; whose word is told to whom."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.handlers.screening.repo_config import changes_labels, load_notes, notes, read_configuration
from bot.jobs.context import READ, Work
from bot.records import Repository
from bot.repo_config.effective import config_in_force
from bot.repo_config.parse import parse_config
from bot.repo_config.precedence import ConfigInForce
from bot.repo_config.stored import StoredConfig, load_config
from bot.store.configs import load_configs
from bot.store.jobs import claim_job, request_job
from bot.store.repositories import save_repository
from tests.builders.command_desk import Desk, open_desk
from tests.builders.history import History
from tests.simulator.faults import FOREVER, status

CONTENTS = "GET /repos/acme/{}/contents/.github/assay.yml"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path) as opened:
        yield opened


def has(desk: Desk, content: str, name: str = "shop") -> None:
    """A new head of a repository, with this file."""
    folder = desk.world.github.root / "written" / f"{name}.git"
    shutil.rmtree(folder, ignore_errors=True)
    history = History()
    history.commit("start", {".github/assay.yml": content, "at": str(len(desk.world.github.requests))})
    history.write(folder)
    found = [repo for repo in desk.world.github.repositories.values() if repo.name == name]
    (found[0] if found else desk.world.acme.repository(name, folder, private=True)).git_dir = folder


def gets(desk: Desk, name: str) -> None:
    """The installation has one more repository of the account."""
    [repo] = [repo for repo in desk.world.github.repositories.values() if repo.name == name]
    desk.world.installation.add(repo)
    memory = Repository(desk.ids[0], repo.repository_id, repo.full_name, "main", private=True, archived=False)
    desk.write(lambda c: save_repository(c, memory))


def read(desk: Desk) -> ConfigInForce:
    desk.write(lambda c: request_job(c, *desk.ids, "screen", desk.world.clock.now()))

    async def ask() -> ConfigInForce:
        async with desk.database.write() as connection:
            job = await claim_job(connection, ["screen"], desk.world.clock.now(), datetime.now(UTC))
        assert job is not None
        work = Work(job, desk.parts)
        client = desk.app.installation_client(desk.ids[0], await desk.app.mint(*desk.ids, READ))
        found = await read_configuration(work, client, desk.repository, desk.world.head)
        async with work.conclusion():
            return found

    return desk.runner.run(ask())


def reads(desk: Desk, name: str = "shop") -> int:
    return sum(f"{seen.method} {seen.path}" == CONTENTS.format(name) for seen in desk.world.github.requests)


def test_what_a_file_says_is_in_force_and_remembered(desk: Desk) -> None:
    has(desk, "fix_patterns: ['^mend']\nquiet: true\n")
    found = read(desk)
    assert (found.overlay.fix_patterns, found.quiet) == (("^mend",), True)
    organization, own = desk.read(lambda c: load_configs(c, *desk.ids))
    assert load_config(own) == StoredConfig(
        parse_config(b"fix_patterns: ['^mend']\nquiet: true\n"), desk.world.head, True
    )
    assert load_config(organization) == StoredConfig()


def test_a_commit_that_was_read_is_not_read_again_and_the_next_one_is(desk: Desk) -> None:
    has(desk, "quiet: true\n")
    assert [read(desk).quiet, read(desk).quiet] == [True, True]
    assert reads(desk) == 1
    has(desk, "quiet: false\n")
    assert read(desk).quiet is False
    assert reads(desk) == 2


def test_what_is_no_file_configures_nothing(desk: Desk) -> None:
    desk.world.github.fault(
        CONTENTS.format("shop").replace(".", r"\."), status(422, message="this is a folder"), FOREVER
    )
    found = read(desk)
    assert found == config_in_force(desk.policy, StoredConfig(), StoredConfig())
    _, own = desk.read(lambda c: load_configs(c, *desk.ids))
    assert load_config(own) == StoredConfig(head_sha=desk.world.head)


def test_the_organizations_file_is_read_with_a_token_for_its_repository_alone(desk: Desk) -> None:
    has(desk, "quiet: true\nfix_patterns: ['^all']\n", ".github")
    has(desk, "fix_patterns: ['^own']\n")
    assert read(desk).quiet is False  # the installation does not have it
    gets(desk, ".github")
    found = read(desk)
    assert (found.quiet, found.overlay.fix_patterns) == (True, ("^own",))
    [holder] = [repo for repo in desk.world.github.repositories.values() if repo.name == ".github"]
    [token] = [t for t in desk.world.github.tokens.values() if t.repository_ids == frozenset({holder.repository_id})]
    assert token.permissions == dict(READ)
    read(desk)
    assert reads(desk, ".github") == 1


def test_an_organizations_file_that_is_closed_to_us_since_counts_no_more(desk: Desk) -> None:
    has(desk, "quiet: true\n", ".github")
    has(desk, "# nothing\n")
    gets(desk, ".github")
    assert read(desk).quiet is True
    desk.world.github.fault(r"GET /repos/acme/\.github/commits/.*", status(404, message="Not Found"), FOREVER)
    assert read(desk).quiet is False


def test_a_check_run_tells_of_its_own_file_by_line_and_counts_those_of_the_organization(desk: Desk) -> None:
    has(desk, "secret_key: 1\npermission: nobody\n", ".github")
    has(desk, "quiet: true\nbug_label: [x]\n")
    gets(desk, ".github")
    read(desk)
    told = desk.read(lambda c: load_notes(c, desk.policy, desk.repository)).splitlines()
    assert len(told) == 2
    assert told[0].startswith(".github/assay.yml, line 2, bug_label: ")
    assert told[0].endswith("The rest of the file applies.")
    assert told[1] == ("Of the organization's .github/assay.yml 2 lines do not apply: assay config check tells why.")


def test_where_all_of_it_applies_nothing_is_said(desk: Desk) -> None:
    parsed = parse_config(b"quiet: true\n")
    in_force = config_in_force(desk.policy, StoredConfig(), StoredConfig(parsed))
    assert list(notes(StoredConfig().parsed, parsed, in_force)) == []


@pytest.mark.parametrize(("said", "again"), [("quiet: true\n", False), ("bug_labels: [oops]\n", True)])
def test_only_what_changes_labels_is_measured_again(desk: Desk, said: str, again: bool) -> None:
    in_force = config_in_force(desk.policy, StoredConfig(), StoredConfig(parse_config(said.encode())))
    assert changes_labels(in_force, "") is again
    assert changes_labels(in_force, in_force.overlay.config_hash) is False
    undone = dataclasses.replace(in_force, overlay=type(in_force.overlay)())
    assert changes_labels(undone, in_force.overlay.config_hash) is again
