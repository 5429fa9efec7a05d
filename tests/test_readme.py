"""What the README promises is there, and what is there the README names."""

import re
from pathlib import Path

from bot.cli.main import COMMANDS
from bot.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_every_make_target_it_names_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)\b(?=`|\s{2}|\s[A-Z]|$)", README, re.MULTILINE))
    assert {"demo", "setup", "test", "lint"} <= named <= TARGETS


def test_every_target_says_what_it_does() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)) == TARGETS


def test_every_suite_of_ci_is_a_target() -> None:
    suites = re.findall(r"^suite ([a-z-]+)$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"lint", "test", "demo"} <= set(suites) <= TARGETS


def test_it_names_every_command_and_no_other() -> None:
    assert set(re.findall(r"(?:`|bin/)assay ([a-z-]+)\b", README)) == {name for name, _, _ in COMMANDS}


def test_it_names_every_setting_and_no_other() -> None:
    assert set(re.findall(rf"`({PREFIX}[A-Z_]+)`", README)) == {PREFIX + name.upper() for name in Settings.model_fields}


def test_its_links_lead_somewhere() -> None:
    assert [place for place in re.findall(r"\]\(([^)#]+)\)", README) if not (ROOT / place).exists()] == []
