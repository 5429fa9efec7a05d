import dataclasses
import random
from collections import Counter
from pathlib import Path

import pytest

from pipeline.git.repository import open_repository
from pipeline.label_recipe import HOLDOUT_SHARE, MESSAGES, MIN_HELD_OUT, MIN_HELD_OUT_POSITIVES
from pipeline.mining.miner import Miner
from pipeline.screening.density import signals_of
from pipeline.screening.windows import fit_windows
from pipeline.syntax.languages import LANGUAGES
from pipeline.syntax.metrics import measure_structure
from pipeline.syntax.parser import parse_file
from tests.builders.demo_code import make_function
from tests.builders.demo_story import BUSY, CarelessStory, build, kinds_of
from tests.builders.history import History

SMALL = CarelessStory(
    "small",
    files=12,
    late_files=2,
    careless=1 / 3,
    earlier=9,
    twice=12,
    once=10,
    unlucky=3,
    again=12,
    anew=8,
    features=9,
)


def fixes(history: History) -> list[tuple[int, bytes]]:
    """When there was a fix of code, whatever it befell."""
    return [
        (c.committed_at, next(iter(c.message.split())).lower().rstrip(b":"))
        for c in history.commits
        if c.message.lower().startswith(b"fix") and "src" in str(c.files)
    ]


def test_a_story_is_told_the_same_way_every_time(tmp_path: Path) -> None:
    one, two = build(SMALL), build(SMALL)
    assert [(c.message, c.files, c.committed_at) for c in one.commits] == [
        (c.message, c.files, c.committed_at) for c in two.commits
    ]


@pytest.mark.parametrize(
    ("twice", "once", "unlucky", "density"),
    [
        (0, 0, 0, 0.0),
        (0, 6, 4, 10 * 0.7 / 120),  # S is at least 1, c = 0.7
        (12, 8, 2, (12 + 10 * 0.5) / 120),  # S = 1.4, y = 1 and 0.5
        (5, 5, 0, (5 + 5 * 0.7 / 1.05) / 120),  # S = (5 x 1.4 + 5 x 0.7) / 10 = 1.05
    ],
)
def test_the_density_of_a_story_is_known_beforehand(twice: int, once: int, unlucky: int, density: float) -> None:
    story = dataclasses.replace(SMALL, twice=twice, once=once, unlucky=unlucky)
    assert story.pairs == 120
    assert story.density == pytest.approx(density, abs=1e-12)


def test_the_density_of_the_busy_one_is_161_of_1104() -> None:
    """(92 files of 12) 110 fixed twice, 102 once: (110 + 102 / 2) / 1,104."""
    assert BUSY.pairs == 1_104
    assert BUSY.density == pytest.approx(161 / 1_104, abs=1e-12)


@pytest.mark.parametrize("dealt", [None, 1])
def test_mining_finds_that_density_whomever_the_fixes_befall(tmp_path: Path, dealt: int | None) -> None:
    story = dataclasses.replace(SMALL, dealt=dealt)
    repository = open_repository(build(story).write(tmp_path / "small.git"))
    with Miner(repository, MESSAGES, tmp_path / "facts", 1) as miner:
        times = miner.history.effective_at
        windows = fit_windows(times[0], times[-1], MESSAGES, miner.count_alive)
        mined = miner.mine(windows)
    assert (windows.window_days, windows.shortened) == (730, False)
    assert len(mined.train) == story.pairs
    assert len(mined.holdout) == story.functions
    assert float(signals_of(mined.train, MESSAGES).mean()) == pytest.approx(story.density, abs=1e-9)
    assert sum(f.credit > 0 for f in mined.holdout) == story.again + story.anew + story.unlucky


def test_a_deal_changes_whom_the_fixes_befall_and_nothing_else() -> None:
    true, dealt = build(SMALL), build(dataclasses.replace(SMALL, dealt=1))
    assert [c.committed_at for c in true.commits] == [c.committed_at for c in dealt.commits]
    assert [at for at, _ in fixes(true)] == [at for at, _ in fixes(dealt)]
    assert [c.message for c in true.commits] != [c.message for c in dealt.commits]


def test_the_careless_are_the_ones_that_are_fixed() -> None:
    history = build(SMALL)
    kinds = kinds_of(history)
    mended = Counter(
        kinds[c.message.decode().split(" in ")[-1].split(" (#")[0]]
        for c in history.commits
        if c.message.lower().startswith(b"fix") and " in " in c.message.decode() and "src" in str(c.files)
        if not c.message.startswith(b"Merge")
    )
    assert (len(kinds), sum(kinds.values())) == (SMALL.functions, SMALL.functions / 3)
    assert mended[True] == SMALL.earlier + 2 * SMALL.twice + SMALL.once + SMALL.again + SMALL.anew
    assert mended[False] == 2 * SMALL.unlucky


@pytest.mark.parametrize(("language", "form"), [("Python", "python"), ("TypeScript", "typescript")])
def test_only_reading_tells_the_careless_from_the_careful(language: str, form: str) -> None:
    grammar = next(found for found in LANGUAGES if found.name == language)
    for seed in range(20):
        careless, careful = (make_function(kind, random.Random(seed), set()) for kind in (True, False))
        texts = [getattr(function, form)() for function in (careless, careful)]
        measured = [list(measure_structure(parse_file(grammar, text.encode()))) for text in texts]
        assert texts[0] != texts[1]
        assert measured[0] == measured[1]
        assert len(measured[0]) == 1


def test_the_busy_one_is_large_enough_to_be_judged() -> None:
    assert HOLDOUT_SHARE * BUSY.functions >= 2 * MIN_HELD_OUT
    assert HOLDOUT_SHARE * (BUSY.again + BUSY.anew + BUSY.unlucky) >= 2 * MIN_HELD_OUT_POSITIVES
