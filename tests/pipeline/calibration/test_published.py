import pytest

from pipeline.calibration.published import load_published, parse_published
from tests.builders.seeds import published

FACTS = load_published()
BY_NAME = {p.name: p for p in FACTS.repositories}


def test_eight_repositories_are_in_the_table_and_four_beside_it() -> None:
    assert sum(p.in_table for p in FACTS.repositories) == 8
    assert len(BY_NAME) == len(FACTS.repositories) == 12


def test_every_history_is_a_public_repository_and_every_rho_is_valid() -> None:
    for facts in FACTS.repositories:
        owner, name = facts.history.split("/")
        assert owner
        assert name
        for rho in (facts.rho_adapter, facts.rho_baseline):
            assert rho is None or -1 <= rho <= 1


def test_lags_are_counted_from_the_last_month_that_a_history_reaches() -> None:
    assert max(p.history_to for p in FACTS.repositories) == "2026-06"
    assert FACTS.published_as_of == 1_782_863_999  # 2026-06-30T23:59:59Z


def test_published_outcomes_are_mapped_to_our_terms() -> None:
    cases: list[tuple[str, str]] = [
        ("facebook/react", "WIN"),  # +0.032 was counted a win
        ("vercel/next.js", "SOFT LOSS"),  # +0.025 was not
        ("golang/go", "HARD LOSS"),
        ("microsoft/vscode", "HARD LOSS"),
        ("pocketbase/pocketbase", "SOFT LOSS"),
    ]
    wrong = [(name, got, kind) for name, kind in cases if (got := BY_NAME[name].kind) != kind]
    assert wrong == []


@pytest.mark.parametrize(
    ("adapter", "baseline", "kind"),
    [(None, None, "SOFT LOSS"), (-0.01, None, "HARD LOSS"), (0.1, 0.11, "HARD LOSS"), (0.1, 0.1, "SOFT LOSS")],
)
def test_a_loss_is_hard_if_the_adapter_is_worse_than_chance_or_the_baseline(
    adapter: float | None, baseline: float | None, kind: str
) -> None:
    assert published(won=False, rho_adapter=adapter, rho_baseline=baseline).kind == kind


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(TypeError, match="rho_adaptor"):
        parse_published('published_as_of = 2026-01-01\n[[repository]]\nname = "a/a"\nrho_adaptor = 1\n')
