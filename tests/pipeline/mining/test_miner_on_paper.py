"""A history of 24 commits with all credits, signals and the density computed by hand.

Days count from the first commit. The head lands on day 1,642, so A = 1,642 d, W + H = min(1,095, 2/3 * 1,642) =
1,094.67 d, H = 364.89 d, W = 729.78 d: T_eval = day 1,277.1, T_train = day 547.3.

Alive at T_train: a.py f0 f1 f2 f3, b.py f0 f1, web.ts g0 g1: eight pairs.

    day   what                                                         credit in the training window
    0     start                                                        -
    300   fix: a.f0 (before the window)                                -
    560   fix: a.f0                                                    a.f0 += 0.7 / sqrt 1 = 0.7
    600   "Fix a.f0 and a.f1"                                          both += 0.7 / sqrt 2 = 0.494975
    620   refactor a.f2 (no evidence)                                  -
    640   rename b.py to c.py                                          -
    660   fix: c.f0, which was b.f0                                    b.f0 += 0.7
    680   merge of a branch: fix: a.f0, then fix: a.f0 and web.g0      one landing, m = 2: a.f0 and web.g0 += 0.494975
    700   fix: a comment in a.f3                                       - (comments only)
    720   fix typo in a.f3                                             - (typo)
    740   fix: tests/test_a.py                                         - (tests only)
    760   fix: web.g1                                                  reverted on day 780: -
    780   Revert "fix: web.g1"                                         -
    800   move a.f2 to d.py as renamed_f2 (75 % of the tokens equal)   -
    820   fix: d.renamed_f2, which was a.f2                            a.f2 += 0.7
    840   fix: a new function a.f9 is born                             - (born in the fix)
    860   dependabot: fix: a.f0                                        - (bot)
    900   fix: a.f1                                                    a.f1 += 0.7 (its revert is later than the window)
    1300  Revert "fix: a.f1"                                           - (no effect on a window that ended before)
    1400  fix: a.f3 (horizon)                                          holdout only
    1642  head

Credits: a.f0 0.7 + 0.494975 + 0.494975 = 1.689949; a.f1 0.494975 + 0.7 = 1.194975; a.f2 0.7; b.f0 0.7; web.g0
0.494975; the rest 0. S = max(1, (1.689949 + 1.194975 + 0.7 + 0.7 + 0.494975) / 10 = 0.478) = 1, so the signals are
1, 1, 0.7, 0.7, 0.494975.
Density = 3.894975 / 8 = 0.486872.
"""

from __future__ import annotations

import math

import pytest

from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES
from pipeline.records import DAY_S
from pipeline.screening.measure import Measured, measure
from tests.builders.code import function, module
from tests.builders.history import START, History
from tests.pipeline.mining.mined import credits_of, reasons_of

HALF = 0.7 / math.sqrt(2)

LONG = """def {name}(value):
    first = value + 1
    second = first * 2
    third = second - 3
    fourth = third + first
    return {last}
"""


def web(g0: str, g1: str) -> str:
    return function("g0", g0, "ts") + "\n" + function("g1", g1, "ts")


def paper() -> History:
    history = History()
    f2 = LONG.format(name="f2", last="fourth")

    def a(f0: str, f1: str, f3: str, middle: str = f2, end: str = "") -> str:
        return module(f0, f1) + "\n" + middle + "\n" + function("f3", f3) + end

    history.commit("start", {"a.py": a("1", "1", "1"), "b.py": module("1", "1"), "web.ts": web("1", "1")}, day=0)
    history.commit("fix: before the window", {"a.py": a("2", "1", "1")}, day=300)
    history.commit("fix: first", {"a.py": a("3", "1", "1")}, day=560)
    history.commit("Fix f0 and f1", {"a.py": a("4", "2", "1")}, day=600)
    f2 = LONG.format(name="f2", last="third")
    history.commit("tidy f2", {"a.py": a("4", "2", "1", f2)}, day=620)
    history.commit("rename", {"b.py": None, "c.py": module("1", "1")}, day=640)
    fork = history.commit("fix: renamed file", {"c.py": module("2", "1")}, day=660)
    history.commit("fix: on a branch", {"a.py": a("5", "2", "1", f2)}, day=670, parents=[fork], branch="side")
    both = {"a.py": a("6", "2", "1", f2), "web.ts": web("2", "1")}
    side = history.commit("fix: again", both, day=671)
    history.commits[-1].parents, history.commits[-1].branch = [side - 1], "side"
    history.merge("Merge side", fork, side, both, day=680)
    history.commit("fix: explain", {"a.py": a("6", "2", "1  # because", f2)}, day=700)
    history.commit("Fix typo", {"a.py": a("6", "2", "5  # because", f2)}, day=720)
    history.commit("fix: the test", {"tests/test_a.py": module("1")}, day=740)
    history.commit("fix: g1", {"web.ts": web("2", "2")}, day=760)
    history.commit('Revert "fix: g1"', {"web.ts": web("2", "1")}, day=780)
    moved = LONG.format(name="renamed_f2", last="third")
    without = {"a.py": module("6", "2") + "\n" + function("f3", "5  # because"), "d.py": moved}
    history.commit("move f2", without, day=800)
    history.commit("fix: f2 where it is now", {"d.py": LONG.format(name="renamed_f2", last="second")}, day=820)
    born = without["a.py"] + "\n" + function("f9", "1")
    history.commit("fix: with a new function", {"a.py": born}, day=840)
    robot = born.replace("total += 6", "total += 7")
    history.commit("fix: f0", {"a.py": robot}, day=860, author="dependabot[bot] <bot@example.org>")
    fixed = robot.replace("total += 2", "total += 3")
    history.commit("fix: f1 late", {"a.py": fixed}, day=900)
    history.commit('Revert "fix: f1 late"', {"a.py": robot}, day=1300)
    history.commit("fix: f3 in the horizon", {"a.py": robot.replace("total += 5", "total += 8")}, day=1400)
    history.commit("head", {"README": "x"}, day=1642)
    return history


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    path = paper().write(tmp_path_factory.mktemp("paper") / "paper.git")
    return measure(open_repository(path), MESSAGES)


def test_the_windows_are_as_computed_by_hand(measured: Measured) -> None:
    windows = measured.mined.windows
    assert windows.as_of == START + 1642 * DAY_S
    assert (windows.train_start - START) / DAY_S == pytest.approx(547.333, abs=0.01)
    assert (windows.eval_start - START) / DAY_S == pytest.approx(1277.111, abs=0.01)
    assert windows.shortened
    assert not windows.too_little_history


def test_every_credit_is_as_computed_by_hand(measured: Measured) -> None:
    assert credits_of(measured.mined) == {
        "a.py::f0": pytest.approx(0.7 + HALF + HALF),
        "a.py::f1": pytest.approx(HALF + 0.7),
        "a.py::f2": pytest.approx(0.7),
        "b.py::f0": pytest.approx(0.7),
        "web.ts::g0": pytest.approx(HALF),
    }


def test_the_density_is_as_computed_by_hand(measured: Measured) -> None:
    assert measured.density is not None
    assert measured.density.pairs == 8
    assert measured.density.positives == 5
    assert measured.density.scale == 1.0
    assert measured.density.value == pytest.approx((1 + 1 + 0.7 + 0.7 + HALF) / 8, abs=1e-12)


def test_commits_without_credit_have_the_expected_reasons(measured: Measured) -> None:
    assert reasons_of(measured.mined) == {
        "changes comments or white space only": 1,
        "typo": 1,
        "changes tests only": 1,
        "reverted later": 1,
        "revert": 1,
        "touches no function that stood before the fix": 1,
        "bot": 1,
    }


def test_the_horizon_has_the_fixes_after_the_training_window(measured: Measured) -> None:
    alive = {f"{f.path}::{f.qualified_name}": f.credit for f in measured.mined.holdout}
    assert len(alive) == 10 - 1  # f0 f1 f3 f9, c.f0 c.f1, d.renamed_f2, web.g0 web.g1
    assert {name: credit for name, credit in alive.items() if credit} == {"a.py::f3": pytest.approx(0.7)}
