from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.records import ExcludedGroup
from pipeline.reports.screen_text import MIN_WIDTH, WIDTH, lines
from tests.builders import screenings as build


def labelled(found: list[str]) -> dict[str, str]:
    return {line[2:13].strip(): line[13:] for line in found if line[:3].strip() and line.startswith("  ")}


def test_the_first_line_is_the_verdict() -> None:
    assert lines(build.screening())[0] == "example/project: worth trying (RUN)"


def test_the_report_fits_a_terminal() -> None:
    found = lines(build.screening())
    assert 15 <= len(found) <= 28
    assert max(map(len, found)) <= WIDTH
    assert not any(line.endswith(" ") for line in found)


@pytest.mark.parametrize("width", [72, 80, 100])
def test_no_line_exceeds_the_width(width: int) -> None:
    long = build.verdict(reasons=("a reason of many words that goes on and on " * 8,))
    assert max(len(line) for line in lines(build.screening(verdict=long), width=width)) <= width


def test_a_terminal_too_narrow_for_an_axis_gets_the_minimum_width() -> None:
    assert lines(build.screening(), width=10) == lines(build.screening(), width=MIN_WIDTH)


def test_the_figures_have_their_intervals() -> None:
    found = lines(build.screening())
    assert "  density    0.0593   95 % interval 0.0521 to 0.0672" in found
    assert "  threshold  0.0412   too close to call from 0.0350 to 0.0474 (░)" in found


def test_the_axis_has_rows_for_winners_this_repository_and_losers() -> None:
    found = lines(build.screening())
    rows = {line[2:13].strip(): line for line in found[5:8]}
    winners, own, losers = rows["winners"], rows["this repo"], rows["losers"]
    assert (winners.count("●"), own.count("◆"), losers.count("○")) == (3, 1, 2)
    assert {line.index("│") for line in rows.values()} == {own.index("│")}
    assert own.index("│") < own.index("├") < own.index("◆") < own.index("┤")
    assert losers.rindex("○") < own.index("│") < winners.index("●")


def test_an_interval_that_contains_the_threshold_is_drawn_across_it() -> None:
    found = lines(build.screening(density=build.density(low=0.02, high=0.2)))
    own = next(line for line in found if "this repo" in line)
    assert own.index("├") < own.index("┼") < own.index("◆") < own.index("┤")


def test_every_tick_label_is_under_its_tick() -> None:
    found = lines(build.screening())
    scale, labels = found[8], found[9]
    ticks = [i for i, sign in enumerate(scale) if sign == "┴"]
    assert labels.split() == ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]
    assert all(labels[max(13, tick - 2) : tick + 3].strip() for tick in ticks)


def test_without_a_density_the_axis_shows_the_calibration_set_alone() -> None:
    found = lines(build.screening(density=None, evidence={}, mined=build.mined(train=())))
    assert "  density    none     no function was alive at the start of the training window" in found
    assert not any("this repo" in line or "◆" in line for line in found)
    assert not {"position", "functions", "evidence"} & set(labelled(found))


def test_the_facts_are_labelled() -> None:
    cases: list[tuple[str, str]] = [
        ("position", "below ore/plain (0.0931, won) and above ore/barely (0.0467, won)"),
        ("functions", "40 measured, 10 of them fixed (25 %); 60 % are in a fixed file"),
        ("commits", "4,321, 987 of them in the training window; 87 fix commits, 12 gave credit"),
        ("left out", "tests only (21); more than 20 source files (2)"),
        ("evidence", "75 % fix: prefix, 25 % keyword in the subject"),
        ("note", "12 objects missing: 9 pairs left out"),
    ]
    wrong = [(label, got, text) for label, text in cases if (got := labelled(lines(build.screening()))[label]) != text]
    assert wrong == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.9, "above ore/rich (0.3100, won), the densest of all"),
        (0.0, "below rock/bare (0.00420, did not win), the least dense of all"),
        (0.0412, "below ore/barely (0.0467, won) and above rock/nearly (0.0357, did not win)"),
    ],
)
def test_the_position_names_both_neighbours(value: float, text: str) -> None:
    density = build.density(value=value, low=value, high=value)
    assert labelled(lines(build.screening(density=density)))["position"] == text


def test_without_outcomes_there_are_no_neighbours() -> None:
    standing = build.standing(winners=(), losers=())
    assert "position" not in labelled(lines(build.screening(standing=standing)))


def test_counter_examples_are_named() -> None:
    found = labelled(lines(build.screening(standing=build.standing(counterexamples=("ore/odd", "rock/odd")))))
    assert found["exceptions"] == "ore/odd, rock/odd: on the wrong side of the threshold"


def test_long_lists_are_truncated_with_a_count_of_the_rest() -> None:
    notes = tuple(f"note {i}" for i in range(9))
    excluded = tuple(ExcludedGroup(f"reason {i}", 10 - i, ()) for i in range(8))
    text = "\n".join(lines(build.screening(mined=build.mined(notes=notes, excluded=excluded))))
    assert "note 4\n" in text
    assert "and 4 more" in text
    assert "reason 5 (5); other reasons (7)" in " ".join(text.split())


def test_a_terminal_without_unicode_gets_ascii_only() -> None:
    found = lines(build.screening(mined=build.mined(repo="müsli/修")), unicode=False)
    assert all(line.isascii() for line in found)
    assert found[0].startswith("m\\xfcsli/\\u4fee: ")
    own = next(line for line in found if "this repo" in line)
    assert "|#-|" in own


HOSTILE = ["\x1b[2J\x1b]0;owned\x07", "a\nfake: not worth it", "\u202eNUR", "\udcff", "x" * 1_000_000, "[bold red]x[/]"]


def test_hostile_text_does_not_control_the_terminal(subtests: pytest.Subtests) -> None:
    for text in HOSTILE:
        with subtests.test(text=text):
            mined = build.mined(repo=text, head_sha=text, notes=(text,), excluded=(ExcludedGroup(text, 1, ()),))
            standing = build.standing(winners=((text, 0.3),), counterexamples=(text,))
            screening = build.screening(
                mined=mined, standing=standing, verdict=build.verdict(reasons=(text,)), config_hash=text
            )
            found = lines(screening)
            assert all(line.isprintable() for line in found)
            assert len(found) < 80
            "\n".join(found).encode("utf-8")


@given(st.floats(0, 1), st.floats(0, 1), st.floats(1e-6, 1), st.floats(0, 1), st.integers(72, 120))
@settings(max_examples=60, deadline=None)
def test_any_density_and_threshold_can_be_drawn(low: float, high: float, cut: float, wide: float, width: int) -> None:
    low, high = sorted((low, high))
    density = build.density(value=(low + high) / 2, low=low, high=high)
    threshold = build.threshold(value=cut, band_low=cut * wide, band_high=cut * (1 + wide))
    found = lines(build.screening(density=density, threshold=threshold), width=width)
    own = next(line for line in found if "this repo" in line)
    assert own.count("◆") == 1
    assert max(map(len, found[5:10])) <= width
