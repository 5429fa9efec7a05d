"""What changes on GitHub without a push is caught up with: the newest head is answered, or measured again."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bot.store.repositories import load_repository
from tests.builders.outage_stage import BASIC, POSTING, OutageStage, answered, outage_stage
from tests.flows.test_screening_flow import count, newest
from tests.simulator import faults
from tests.simulator.repositories import Repository

EVIDENCE = {**POSTING, "issues": "write", "pull_requests": "read"}


def test_permission_to_write_check_runs_that_is_granted_later_posts_the_verdict(tmp_path: Path) -> None:
    with outage_stage(tmp_path) as stage:
        shop, installation = stage.installed(BASIC)
        assert shop.check_runs == []
        assert "permissions" in stage.error(installation, shop)
        stage.heard(lambda: installation.accept_permissions(POSTING))
        assert answered(shop) == [True]
        assert stage.error(installation, shop) == ""


def test_permission_to_read_the_code_that_is_granted_later_measures_it(tmp_path: Path) -> None:
    with outage_stage(tmp_path) as stage:
        shop, installation = stage.installed({"checks": "write", "metadata": "read"})
        assert newest(stage.app, installation, shop).failure
        stage.heard(lambda: installation.accept_permissions(POSTING))
        assert newest(stage.app, installation, shop).failure == ""
        assert answered(shop) == [True]


def test_permission_to_read_evidence_that_is_granted_later_measures_again_even_if_the_listing_fails(
    tmp_path: Path,
) -> None:
    with outage_stage(tmp_path) as stage:
        _, installation = stage.installed(POSTING)
        away = stage.github.fault("GET /installation/repositories", faults.status(500), faults.FOREVER)
        stage.heard(lambda: installation.accept_permissions(EVIDENCE))
        stage.passes(minutes=10, steps=3)
        assert count(stage.app, "screenings", installation) == 1
        away.stop()
        stage.passes(minutes=1, steps=10)
        assert count(stage.app, "screenings", installation) == 2


def test_what_was_pushed_during_a_suspension_is_answered_after_it(tmp_path: Path) -> None:
    with outage_stage(tmp_path) as stage:
        shop, installation = stage.installed()
        stage.heard(installation.suspend)
        stage.passes(hours=5)
        stage.commit(shop)
        shop.pushed()
        stage.heard(installation.unsuspend)
        stage.passes(minutes=2)
        assert answered(shop) == [True]


def test_what_was_pushed_unheard_is_answered_when_a_repository_changes(tmp_path: Path) -> None:
    with outage_stage(tmp_path) as stage:
        shop, _ = stage.installed()
        changes = (shop.archive, shop.unarchive, lambda: shop.rename("store"), shop.privatize, shop.publicize)
        for number, change in enumerate(changes):
            stage.passes(hours=2)
            stage.commit(shop, 4.2 + number / 5)  # without a delivery
            stage.heard(change)
            stage.passes(minutes=2)
            if change != shop.archive:
                assert answered(shop) == [True], change


def test_a_change_of_the_organizations_file_reaches_repositories_that_nobody_pushes_to(tmp_path: Path) -> None:
    with outage_stage(tmp_path) as stage:
        account = stage.account()
        shop, organization = stage.repository(account), stage.repository(account, ".github")
        installation = stage.install(account, shop, organization)
        before = count(stage.app, "screenings", installation, shop)
        stage.passes(hours=2)
        commit_file(stage, organization, ".github/assay.yml", "fix_patterns:\n  - '^repaired'\n")
        stage.heard(organization.pushed)
        stage.passes(minutes=1.1, steps=3)
        assert count(stage.app, "screenings", installation, shop) == before + 1


def test_a_command_that_comes_before_the_first_listing_is_answered_after_it(tmp_path: Path) -> None:
    with outage_stage(tmp_path) as stage:
        account = stage.account()
        shop = stage.repository(account)
        away = stage.github.fault("GET /installation/repositories", faults.status(500), faults.FOREVER)
        installation = stage.install(account, shop)
        comment = stage.heard(lambda: shop.comment("ann", "/screen"))
        stage.passes(minutes=5)
        assert comment.reactions == []
        away.stop()
        stage.passes(minutes=1, steps=10)
        assert count(stage.app, "screenings", installation) == 2
        ids = installation.installation_id, shop.repository_id
        known = stage.app.ask(lambda c: load_repository(c, *ids))
        assert known is not None
        assert known.last_error == ""


def commit_file(stage: OutageStage, repository: Repository, path: str, text: str) -> None:
    """Commit one file on the default branch, without a delivery."""
    branch = repository.default_branch
    lines = (
        f"commit refs/heads/{branch}\ncommitter A <a@b.c> {int(stage.clock.now().timestamp())} +0000\n"
        f"data 10\nconfigures\nfrom {repository.head()}\nM 644 inline {path}\ndata {len(text)}\n{text}\n"
    )
    subprocess.run(["git", "fast-import", "--quiet"], cwd=repository.git_dir, input=lines.encode(), check=True)
