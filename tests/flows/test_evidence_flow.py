"""Issues and pull requests from GitHub to the verdict: the real App against the local GitHub."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.github.evidence.codec import decode_file
from bot.handlers.screening.evidence import FACTS
from bot.policy import Policy
from bot.records import StoredScreening
from pipeline.calibration.calibration_set import CalibrationSet, adoption, replay
from pipeline.calibration.seed import load_seed
from pipeline.label_recipe import MESSAGES, MESSAGES_API
from pipeline.mining.issue_links import IssueFact
from tests.builders import running_app as app_of_tests
from tests.builders.code import module
from tests.builders.history import DAY_S, START, History
from tests.builders.running_app import RunningApp, running_app
from tests.flows.test_screening_flow import newest
from tests.simulator.apps import FULL, Installation
from tests.simulator.clocks import SettableClock
from tests.simulator.faults import FOREVER, before, status
from tests.simulator.github import GitHub, serve_github
from tests.simulator.repositories import Repository

GRAPHQL = "POST /api/graphql"
FILES, FUNCTIONS = 13, 40  # 520 functions: 208 would be held out
DAYS = 1_800  # enough for whole windows: training from day 705 to 1,435, and then the time to judge a run by
WORK_DAYS = [710 + 6 * step for step in range(180)]
TALKERS = 400  # issues with nothing to say, which make the list four pages and more
WITHOUT = {name: level for name, level in FULL.items() if name not in ("issues", "pull_requests")}


def api_set() -> CalibrationSet:
    """The recipe with issues decides, with no outcome of its own."""
    seed = load_seed()
    return replay((adoption(seed, MESSAGES_API.id, "2026-03-01T00:00:00Z"),), seed)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def github(tmp_path: Path, clock: SettableClock) -> Iterator[GitHub]:
    with serve_github(tmp_path / "github", clock) as github:
        yield github


@pytest.fixture
def app(tmp_path: Path, github: GitHub) -> Iterator[RunningApp]:
    """By messages, as it ships."""
    with running_app(tmp_path / "app", github, policy=Policy(heartbeat_s=0.2, sweep_s=0.1)) as app:
        yield app


@pytest.fixture
def api_app(tmp_path: Path, github: GitHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningApp]:
    """The recipe with issues was adopted on this server."""
    monkeypatch.setattr(app_of_tests, "seed_set", api_set)
    with running_app(tmp_path / "app", github, policy=Policy(heartbeat_s=0.2, sweep_s=0.1)) as app:
        yield app


@pytest.fixture(scope="module")
def quiet_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each piece of work changes one function and closes an issue; no message says that anything was wrong."""
    history = History()
    bodies = {f"src/m{n}.py": [f"{n} * {f}" for f in range(FUNCTIONS)] for n in range(FILES)}
    history.commit("start", {path: module(*those) for path, those in bodies.items()}, day=0)
    for number, day in enumerate(WORK_DAYS, 1):
        path = f"src/m{number % FILES}.py"
        bodies[path][number // FILES] += f" + {number}"
        history.commit(f"Count once more\n\nCloses #{number}", {path: module(*bodies[path])}, day=day)
    history.commit("Say more", {"README.md": "more\n"}, day=DAYS)
    return history.write(tmp_path_factory.mktemp("quiet") / "quiet.git")


@pytest.fixture
def shop(github: GitHub, quiet_history: Path, tmp_path: Path) -> Repository:
    """The repository with its issues, each a bug that was closed by the work on it; one pull request."""
    acme = github.account("acme", type="Organization")
    shop = acme.repository("shop", git_dir=shutil.copytree(quiet_history, tmp_path / "shop.git"), private=True)
    for number, day in enumerate(WORK_DAYS, 1):
        shop.issue(number, labels=["type: bug"], opened_at=at(day - 1), closed_at=at(day))
    for number in range(TALKERS):
        shop.issue(1_000 + number, opened_at=at(720 + number))
    shop.pull_request(2_000, labels=["enhancement"], merged=shop.head(), opened_at=at(DAYS))
    return shop


def at(day: float) -> datetime:
    return datetime.fromtimestamp(START + round(day * DAY_S), UTC)


def said(app: RunningApp, repo: Repository) -> dict[str, Any]:
    """What the first check run says."""
    app.until("a check run", lambda: repo.check_runs)
    app.until_idle()
    output: dict[str, Any] = repo.check_runs[0]["output"]
    return output


def asked(github: GitHub) -> list[tuple[bool, str]]:
    """The pages that were asked for: whether of issues, and from where."""
    return [("since" in variables, str(variables["after"])) for variables in github.graphql.asked]


def facts_file(app: RunningApp, installation: Installation, repo: Repository) -> Path:
    return app.clones.folder(installation.installation_id, repo.repository_id) / FACTS


def measured(screening: StoredScreening) -> tuple[float, float]:
    """The density that decided, and the other one."""
    measurement = screening.measurement
    return measurement["density"]["value"], measurement["other"]["density"]["value"]


def test_a_history_that_never_says_fix_is_run_through_its_labelled_issues_alone(
    api_app: RunningApp, shop: Repository
) -> None:
    installation = api_app.registered.install(shop.owner, [shop])
    output = said(api_app, shop)
    screening = newest(api_app, installation, shop)
    assert screening.label_recipe_id == MESSAGES_API.id
    decides, by_messages = measured(screening)
    assert by_messages == 0 < screening.judgement["threshold"]["value"] < decides
    assert screening.judgement["verdict"] == "RUN"
    assert screening.judgement["threshold"]["source"] == "borrowed"
    assert shop.check_runs[0]["conclusion"] == "success"
    assert output["title"].startswith("worth trying (RUN): density ")
    for words in (
        "100 % of their credit comes from linked bug issues",
        "borrowed from the recipe of commit messages alone; densities from ",
        "With evidence from commit messages alone (label recipe messages/2), the density would be 0; "
        "this does not affect the verdict.",
        "581 issues and pull requests",
    ):
        assert words in output["summary"]


def test_the_same_repository_without_the_permissions_says_what_it_lacks_and_is_skipped(
    api_app: RunningApp, github: GitHub, shop: Repository
) -> None:
    installation = api_app.registered.install(shop.owner, [shop], permissions=WITHOUT)
    output = said(api_app, shop)
    screening = newest(api_app, installation, shop)
    assert (screening.label_recipe_id, screening.judgement["verdict"]) == (MESSAGES.id, "SKIP")
    assert screening.measurement["density"]["value"] == 0
    assert screening.measurement["other"] is None
    assert "The App may not read issues and pull requests" in output["summary"]
    assert "this verdict is based on commit messages alone" in output["summary"]
    assert asked(github) == []
    assert not facts_file(api_app, installation, shop).exists()


@pytest.mark.parametrize("lacks", ["issues", "pull_requests"])
def test_one_permission_of_two_is_not_enough_for_another_label_recipe(
    api_app: RunningApp, github: GitHub, shop: Repository, lacks: str
) -> None:
    permissions = {name: level for name, level in FULL.items() if name != lacks}
    installation = api_app.registered.install(shop.owner, [shop], permissions=permissions)
    output = said(api_app, shop)
    screening = newest(api_app, installation, shop)
    assert (screening.label_recipe_id, screening.measurement["other"]) == (MESSAGES.id, None)
    assert f"The App may not read {lacks.replace('_', ' ')}" in output["summary"]
    assert "this verdict is based on commit messages alone" in output["summary"]
    assert [are_issues for are_issues, _ in asked(github)].count(lacks == "issues") == 1  # and refused


def test_where_messages_decide_the_density_with_issues_stands_beside(app: RunningApp, shop: Repository) -> None:
    installation = app.registered.install(shop.owner, [shop])
    output = said(app, shop)
    screening = newest(app, installation, shop)
    decides, with_issues = measured(screening)
    assert (screening.label_recipe_id, screening.judgement["verdict"]) == (MESSAGES.id, "SKIP")
    assert decides == 0 < screening.judgement["threshold"]["value"] < with_issues
    assert "With evidence from issues, pull requests and labels as well" in output["summary"]
    assert "this does not affect the verdict" in output["summary"]
    assert "borrowed" not in output["summary"]


def test_where_messages_decide_and_graphql_does_not_answer_the_verdict_comes_with_a_note(
    app: RunningApp, github: GitHub, shop: Repository
) -> None:
    rule = github.fault(GRAPHQL, status(502), FOREVER)
    installation = app.registered.install(shop.owner, [shop])
    output = said(app, shop)
    assert rule.met == 5  # pages of 100, 50, 25, 12 and 6
    assert newest(app, installation, shop).measurement["other"] is None
    assert "GitHub did not return issues and pull requests this time." in output["summary"]


def test_where_issues_decide_graphql_is_asked_again_before_there_is_a_verdict(
    api_app: RunningApp, github: GitHub, clock: SettableClock, shop: Repository
) -> None:
    github.fault(GRAPHQL, status(502), 5)
    installation = api_app.registered.install(shop.owner, [shop])
    api_app.until("a try that failed", lambda: not github.faults[0].left)
    api_app.until_idle()
    assert shop.check_runs == []
    clock.advance(timedelta(minutes=1))
    said(api_app, shop)
    assert newest(api_app, installation, shop).label_recipe_id == MESSAGES_API.id


def use_up_our_share(github: GitHub) -> None:
    github.graphql.points_an_hour = 10  # half of it is ours: five pages


def use_up_everything(github: GitHub) -> None:
    """Somebody else does, while the third page is on its way."""
    pages = iter(range(3))

    def spend() -> None:
        if next(pages) == 2:
            for installation_id in github.installations:
                github.graphql.usage(installation_id).used = github.graphql.points_an_hour or 0

    github.fault(GRAPHQL, before(spend), 3)


@pytest.mark.parametrize(("use_up", "pages"), [(use_up_our_share, 5), (use_up_everything, 2)])
def test_a_rate_limit_in_the_middle_puts_the_job_off_and_nothing_is_asked_twice(
    api_app: RunningApp,
    github: GitHub,
    clock: SettableClock,
    shop: Repository,
    use_up: Callable[[GitHub], None],
    pages: int,
) -> None:
    use_up(github)
    installation = api_app.registered.install(shop.owner, [shop])
    api_app.until("the first pages", lambda: len(asked(github)) == pages)
    api_app.until_idle()
    assert shop.check_runs == []
    assert len(asked(github)) == pages
    clock.advance(timedelta(minutes=30))
    api_app.until_idle()
    assert len(asked(github)) == pages  # not before the limit is over
    clock.advance(timedelta(minutes=31))
    output = said(api_app, shop)
    assert newest(api_app, installation, shop).judgement["verdict"] == "RUN"
    assert "581 issues and pull requests" in output["summary"]
    assert len(asked(github)) == len(set(asked(github))) == 7  # six pages of issues, one of pull requests


def test_an_update_asks_for_what_changed_and_finds_it(
    api_app: RunningApp, github: GitHub, clock: SettableClock, shop: Repository
) -> None:
    shop.roles["ann"] = "maintain"
    installation = api_app.registered.install(shop.owner, [shop])
    said(api_app, shop)
    first = len(asked(github))
    clock.advance(timedelta(hours=2))
    for number in range(1, len(WORK_DAYS) + 1):
        shop.items[number].labels[:] = ["enhancement"]
        shop.items[number].touch()
    shop.check_runs[0].press("ann", "rescreen")
    api_app.until("the second verdict", lambda: len(shop.check_runs) == 2)
    assert newest(api_app, installation, shop).judgement["verdict"] == "SKIP"
    assert len(asked(github)) - first <= 6


def test_nothing_is_kept_but_numbers_states_labels_times_and_links_and_that_goes_with_the_installation(
    api_app: RunningApp, github: GitHub, shop: Repository
) -> None:
    installation = api_app.registered.install(shop.owner, [shop])
    said(api_app, shop)
    path = facts_file(api_app, installation, shop)
    assert path.stat().st_mode & 0o077 == 0
    kept = decode_file(path.read_bytes()).facts
    assert kept is not None
    opened, closed = (int(at(day).timestamp()) for day in (WORK_DAYS[0] - 1, WORK_DAYS[0]))
    assert kept.facts[1] == IssueFact(1, False, "closed", ("type: bug",), None, opened, closed, None)
    assert len(kept.facts) == len(shop.items)
    api_app.hear(installation.uninstall())
    api_app.until("no file", lambda: not path.exists())
