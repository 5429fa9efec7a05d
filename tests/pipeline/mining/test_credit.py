from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.label_recipe import MESSAGES
from pipeline.mining.credit import NO_FUNCTION, AttributedFix, give_credit
from pipeline.mining.facts.lineage import FunctionKey
from pipeline.mining.trace import ALIVE, Root
from pipeline.records import Evidence
from tests.rows import each_row

PREFIX, ISSUE = Evidence("prefix", 0.7), Evidence("issue", 1.0)


def root(name: str, born_at: int = ALIVE) -> Root:
    return Root(b"a.py", FunctionKey(name, 0), born_at)


def fix(
    sha: str, *names: str, unit: int = 1, evidence: Evidence = PREFIX, files: int = 1, born: str = ""
) -> AttributedFix:
    roots = {root(name) for name in names} | {root(name, unit) for name in born}
    paths = frozenset(b"%d.py" % i for i in range(files))
    return AttributedFix(sha, unit, (unit, ""), frozenset({unit}), evidence, paths, frozenset(roots))


def credit(*fixes: AttributedFix) -> dict[str, float]:
    return {r.key.qualified_name: c for r, c in give_credit(fixes, MESSAGES).by_root.items()}


@each_row("touched", [1, 2, 4, 20])
def test_each_function_of_a_fix_gets_the_weight_over_the_square_root_of_their_number(touched: int) -> None:
    names = [f"f{i}" for i in range(touched)]
    assert credit(fix("1", *names)) == {name: pytest.approx(0.7 / math.sqrt(touched)) for name in names}


def test_a_function_gets_its_largest_single_credit_once_per_landing() -> None:
    assert credit(fix("1", "f"), fix("2", "f", evidence=ISSUE), fix("3", "f")) == {"f": 1.0}


def test_the_credits_of_landings_add_up() -> None:
    assert credit(fix("1", "f", unit=1), fix("2", "f", unit=2)) == {"f": pytest.approx(1.4)}


def test_the_number_of_functions_is_that_of_the_whole_landing() -> None:
    fixes = credit(fix("1", "f"), fix("2", "g"))
    assert fixes == {"f": pytest.approx(0.7 / math.sqrt(2)), "g": pytest.approx(0.7 / math.sqrt(2))}


def test_functions_born_in_the_landing_get_no_credit_and_do_not_count() -> None:
    assert credit(fix("1", "f", born="xyz")) == {"f": 0.7}


def test_a_fix_of_newborn_functions_only_is_refused_with_the_reason() -> None:
    credits = give_credit([fix("1", born="x"), fix("2", "f")], MESSAGES)
    assert credits.refused == {"1": NO_FUNCTION}
    assert credits.each == {"2": 0.7}


@pytest.mark.parametrize(("files", "functions", "gives"), [(20, 20, True), (21, 1, False), (1, 21, False)])
def test_units_that_touch_too_much_give_no_credit(files: int, functions: int, gives: bool) -> None:
    credits = give_credit([fix("1", *[f"f{i}" for i in range(functions)], files=files)], MESSAGES)
    assert bool(credits.by_root) is gives
    assert bool(credits.refused) is not gives


def test_credit_by_kind_counts_functions_alive_at_the_start_of_the_window() -> None:
    later = AttributedFix("3", 9, (9, ""), frozenset({9}), PREFIX, frozenset(), frozenset({root("young", 5)}))
    credits = give_credit([fix("1", "f"), fix("2", "g", unit=2, evidence=ISSUE), later], MESSAGES)
    assert credits.by_kind == {"prefix": pytest.approx(0.7), "issue": pytest.approx(1.0)}
    assert credits.by_root[root("young", 5)] == 0.7


fixes = st.lists(
    st.builds(
        lambda number, names, unit: fix(str(number), *names, unit=unit),
        st.integers(0, 10**6),
        st.sets(st.sampled_from("abcdefgh"), min_size=1),
        st.integers(1, 4),
    ),
    max_size=8,
    unique_by=lambda f: f.sha,
)


@given(fixes)
def test_the_order_of_the_fixes_does_not_matter(fixes: list[AttributedFix]) -> None:
    assert give_credit(fixes, MESSAGES).by_root == give_credit(fixes[::-1], MESSAGES).by_root


@given(fixes)
def test_no_landing_gives_a_function_more_than_its_weight(fixes: list[AttributedFix]) -> None:
    landings = len({f.unit for f in fixes})
    assert all(0 < c <= 0.7 * landings + 1e-12 for c in give_credit(fixes, MESSAGES).by_root.values())
