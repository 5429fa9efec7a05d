"""GitHub is unwell in every way that we know of: what passes is waited for, and every repository gets one check run;
what does not pass is said in words. The App is a real process; time goes sixty times as fast for it and for GitHub."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders.app_processes import until
from tests.builders.history import History
from tests.flows.faults.stage import Stage
from tests.flows.faults.unwell_story import Sufferer, Trouble, gaps_s, suffer, unwell
from tests.simulator.faults import FOREVER, before, cut, forbidden, lost, redirect, stall, status, unauthorized
from tests.simulator.messages import Response

pytestmark = pytest.mark.faults

LOGIN_PAGE = b"<html><body>Welcome to the hotel's network</body></html>"
HUGE = b" " * (11 << 20)


def page(code: int, content: bytes = LOGIN_PAGE) -> Response:
    """What something between us and GitHub answers in its place."""
    return Response(code, content, {"content-type": "text/html"})


def down(of: Sufferer) -> None:
    of.meets(status(500), of.reading)
    of.meets(status(503), of.refs)
    of.meets(status(502), of.writing, 2)


def silent(of: Sufferer) -> None:
    of.meets(stall(), of.reading)
    of.meets(stall(), of.writing)


def breaking_off(of: Sufferer) -> None:
    of.meets(cut(40), of.head)
    of.meets(cut(2_000), of.pack)
    of.meets(cut(40), of.writing)  # which was carried out


def out_of_reach(of: Sufferer) -> None:
    of.meets(cut(), of.reading, 4)
    of.meets(cut(), of.pack)
    of.meets(cut(), of.writing, 2)


def behind_a_proxy(of: Sufferer) -> None:
    of.meets(page(200), of.reading)
    of.meets(page(200), of.writing)


def talking_nonsense(of: Sufferer) -> None:
    of.meets(Response(200, {"id": "seven", "full_name": None}), of.reading)
    of.meets(Response(200, b"[" * 100_000), of.reading)
    of.meets(lost(page(201)), of.writing)


def endless(of: Sufferer) -> None:
    of.meets(page(200, HUGE), of.reading)
    of.meets(lost(page(201, HUGE)), of.writing)


def without_tokens(of: Sufferer) -> None:
    of.meets(status(404, message="Not Found"), of.minting)
    of.meets(status(500), of.minting)
    of.meets(status(503), of.minting, 4)
    of.meets(lost(status(502)), of.writing)


def with_old_tokens(of: Sufferer) -> None:
    of.meets(unauthorized(), of.reading)
    of.meets(before(of.expire_tokens), of.writing)


def with_tokens_that_run_out_in_a_clone(of: Sufferer) -> None:
    of.meets(before(of.expire_tokens), of.pack)
    of.meets(lost(), of.writing)


def refusing_for_no_reason(of: Sufferer) -> None:
    of.meets(status(422, message="Invalid request"), of.suites)
    of.meets(status(401), of.refs)


def suspended_for_a_moment(of: Sufferer) -> None:
    of.meets(status(403, message="This installation has been suspended"), of.reading)


def saying_when_to_come_back(of: Sufferer) -> None:
    of.meets(status(429, {"retry-after": "90"}), of.head)
    of.meets(forbidden("retry-after", 90), of.writing, 2)


def not_saying_when_to_come_back(of: Sufferer) -> None:
    of.meets(forbidden("none"), of.reading)
    of.meets(forbidden("none"), of.writing)


def out_of_requests(of: Sufferer) -> None:
    of.meets(before(of.spend), of.reading)
    of.meets(before(of.spend), of.writing)


PASSES: dict[str, Trouble] = {
    trouble.__name__: trouble
    for trouble in (
        down, silent, breaking_off, out_of_reach, behind_a_proxy, talking_nonsense, endless, without_tokens,
        with_old_tokens, with_tokens_that_run_out_in_a_clone, refusing_for_no_reason, suspended_for_a_moment,
        saying_when_to_come_back, not_saying_when_to_come_back, out_of_requests,
    )
}  # fmt: skip


def test_what_passes_is_waited_for_and_nothing_is_written_twice(tmp_path: Path) -> None:
    with unwell(tmp_path) as stage:
        sufferers = suffer(stage, PASSES)
        shops = [each.repository for each in sufferers.values()]
        until("a check run for everybody", lambda: all(shop.check_runs for shop in shops))
        stage.assert_settled({shop: [shop.head()] for shop in shops})
        wrong = {words: list(wrongs(each)) for words, each in sufferers.items()}
        assert {words: said for words, said in wrong.items() if said} == {}
        assert min(gaps_s(sufferers["saying_when_to_come_back"].writes())) >= 90
        assert min(gaps_s(sufferers["not_saying_when_to_come_back"].writes())) >= 60
        assert sufferers["out_of_requests"].refused <= 4, "it asked again before the hour was over"
        assert stage.github.limits.peak_minute() <= 80
        assert stage.github.limits.peak_hour() <= 500
        assert "job_raised" not in stage.said()


def wrongs(of: Sufferer) -> Iterator[str]:
    """What is not as it should be, beside what holds for all."""
    for rule in of.rules:
        if rule.left:
            yield f"{rule.match.pattern} was met {rule.met} times, and {rule.left} were to come"
    for run in of.repository.check_runs:
        if "could not be measured" in run["output"]["title"]:
            yield run["output"]["summary"]


def too_large(path: Path) -> Path:
    """A repository whose pack has two megabytes."""
    history = History()
    history.commit("start", {"code.py": "def f():\n    return 1\n", "data.bin": random.Random(1).randbytes(2 << 20)})
    return history.write(path)


SAID = {
    "redirected when it is read": "GitHub redirected to another host: check ASSAY_GITHUB_URL",
    "redirected when it is cloned": "redirects to another host",
    "too large": "is larger than the limit of 1 MB",
    "git is away for good": "is not available now (HTTP 503)",
    "no git at all": "is not a git repository",
    "refused by git": "it needs the permission to read contents",
    "redirected when it is written": "post: GitHub redirected to another host",
    "422 when it is written": "post: GitHub rejected the request",
    "403 when it is written": "post: GitHub denied access: check the App's permissions",
}


def test_what_does_not_pass_is_said_and_nobody_is_followed_elsewhere(tmp_path: Path) -> None:
    large = too_large(tmp_path / "large.git")
    with socket.create_server(("127.0.0.1", 0)) as elsewhere, unwell(tmp_path, ASSAY_PACK_LIMIT_MB="1") as stage:
        host = f"http://127.0.0.1:{elsewhere.getsockname()[1]}"
        no_rights = status(403, message="Resource not accessible by integration")

        def grow(of: Sufferer) -> None:
            of.repository.git_dir = large

        troubles: dict[str, Trouble] = {
            "redirected when it is read": lambda of: of.meets(redirect(f"{host}/api/v3/x"), of.reading, FOREVER),
            "redirected when it is cloned": lambda of: of.meets(redirect(f"{host}/x.git"), of.refs, FOREVER),
            "too large": grow,
            "git is away for good": lambda of: of.meets(status(503), of.refs, FOREVER),
            "no git at all": lambda of: of.meets(page(200), of.refs, FOREVER),
            "refused by git": lambda of: of.meets(status(403), of.refs, FOREVER),
            "redirected when it is written": lambda of: of.meets(redirect(f"{host}/api/v3/x"), of.writing, FOREVER),
            "422 when it is written": lambda of: of.meets(status(422, message="Invalid."), of.writing, FOREVER),
            "403 when it is written": lambda of: of.meets(no_rights, of.writing, FOREVER),
        }
        sufferers = suffer(stage, troubles)
        # Not until nothing is left to do: a git server that is away, or refuses, is tried again for days.
        until("a word on each", lambda: len(told(stage, sufferers)) == len(troubles))
        said = told(stage, sufferers)
        assert {words: text for words, text in said.items() if SAID[words] not in text} == {}
        elsewhere.setblocking(False)
        assert is_alone(elsewhere), "somebody followed a redirect to another host"


def told(stage: Stage, sufferers: dict[str, Sufferer]) -> dict[str, str]:
    """What each was told in the end: by its one check run, or by the last error where none can be written."""
    errors = {row.repository_id: row.last_error for row in stage.rows()["repositories"]}
    said = {}
    for words, of in sufferers.items():
        for run in of.repository.check_runs:
            assert words not in said, "two check runs"
            assert (run["status"], run["conclusion"]) == ("completed", "neutral")
            said[words] = run["output"]["summary"].replace("`", "")
        if errors.get(of.repository.repository_id) and words not in said:
            said[words] = errors[of.repository.repository_id]
    return said


def is_alone(server: socket.socket) -> bool:
    """Whether nobody has connected."""
    try:
        connection, _ = server.accept()
    except BlockingIOError:
        return True
    connection.close()
    return False
