import subprocess
from pathlib import Path

import pytest

from tests.builders.demo_histories import FUNCTIONS_A_FILE, Story, build, write_all

SMALL = Story("small", files=2, hot=3, fixes_each=4, once=5, fixed_later=6)


def test_the_density_of_a_story_is_known_beforehand() -> None:
    cases: list[tuple[int, int, int, float]] = [
        (0, 0, 0, 0.0),
        (0, 0, 10, 10 * 0.7 / 24),  # S is at least 1, c = 0.7
        (12, 2, 0, 12 / 24),  # S = c = 1.4
        (10, 2, 4, (10 + 4 / 2) / 24),  # S = 1.4, y = 1 and 0.5
        (5, 4, 5, (5 + 5 * 0.7 / 1.75) / 24),  # S = (5 x 2.8 + 5 x 0.7) / 10 = 1.75
    ]
    wrong = [
        (hot, fixes_each, once, density, got, expected)
        for hot, fixes_each, once, density in cases
        if (got := Story("x", 2, hot, fixes_each, once, 0).density) != (expected := pytest.approx(density, abs=1e-12))
    ]
    assert wrong == []


def test_a_story_is_told_the_same_way_every_time(tmp_path: Path) -> None:
    write_all((SMALL,), tmp_path / "a")
    write_all((SMALL,), tmp_path / "b")
    heads = {
        subprocess.run(
            ["git", "rev-parse", "main"], cwd=tmp_path / folder / "small.git", check=True, capture_output=True
        ).stdout
        for folder in "ab"
    }
    assert len(heads) == 1


def test_every_function_and_every_fix_of_a_story_is_there() -> None:
    history = build(SMALL)
    text = {path: str(content) for commit in history.commits for path, content in commit.files.items()}
    functions = sum(content.count("def ") + content.count("export function ") for content in text.values())
    touched = [c for c in history.commits if not c.message.startswith(b"Merge") and "src" in str(c.files)]
    fixes = [c for c in touched if c.message.lower().startswith(b"fix")]
    assert functions == SMALL.functions == 2 * FUNCTIONS_A_FILE
    assert len(fixes) == SMALL.hot * SMALL.fixes_each + SMALL.once + SMALL.fixed_later
