"""The documentation names what is there: pages, paths, links, anchors, commands, settings, figures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.cli.main import COMMANDS
from bot.cli.reference import load, render_reference
from bot.settings import PREFIX, Settings
from tests.test_architecture import ROOMS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"

PAGES = {
    "": ("index",),
    "getting-started": ("cli", "app", "finetune"),
    "concepts": ("density", "evidence", "calibration", "ranking", "finetuning"),
    "operations": ("deploy", "settings", "gpu-workers", "security", "data-retention", "troubleshooting"),
    "reference": ("cli", "settings", "repo-config", "json", "pairs", "metrics"),
    "results": ("published-table", "rankings", "label-quality", "benchmarks"),
    "development": ("architecture", "design", "testing"),
}
FILES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
TEXTS = {file: file.read_text(encoding="utf-8") for file in FILES}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
# Places in the code, as prose names them: a folder or a file below one of these.
PLACE = re.compile(r"`((?:bot|pipeline|tests|bench|docs|requirements)(?:/[\w.-]+)+|\.ci|\.ci/run)`")
OURS = re.compile(r"`(?:\.venv/bin/)?assay ([a-z][a-z-]*)(?: ([a-z]+))?")


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def without_code(text: str) -> str:
    """Markdown without fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> Iterator[str]:
    """Targets of links and pictures that lead into the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"", without_code(text)):
        place = "".join(target)
        if not re.match(r"[a-z]+:", place):
            yield place


def test_the_pages_are_those_of_the_index_of_the_documentation() -> None:
    wanted = {f"{folder}/{page}.md".lstrip("/") for folder, pages in PAGES.items() for page in pages}
    assert {file.relative_to(DOCS).as_posix() for file in DOCS.rglob("*.md")} == wanted
    assert wanted - {"index.md"} == {link for link in links(TEXTS[DOCS / "index.md"]) if not link.startswith("..")}


def test_every_link_leads_somewhere() -> None:
    broken = []
    for file, text in TEXTS.items():
        for link in links(text):
            place, _, anchor = link.partition("#")
            target = (file.parent / place).resolve() if place else file
            if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
                broken.append(f"{name(file)}: {link}")
    assert broken == []


def test_every_path_that_a_page_names_exists() -> None:
    missing = {
        f"{name(file)}: {place}"
        for file, text in TEXTS.items()
        for place in PLACE.findall(text)
        if not (ROOT / place).exists()
    }
    assert missing == set()


def test_the_architecture_names_every_room() -> None:
    page = TEXTS[DOCS / "development" / "architecture.md"]
    rooms = {
        file.parent.relative_to(ROOT).as_posix() for top in ("bot", "pipeline") for file in (ROOT / top).rglob("*.py")
    }
    rooms = {room for room in rooms if "/" in room and "migrations" not in room}
    assert {room for room in rooms if f"`{room}`" not in page} == set()


def test_the_architecture_lists_the_rooms_in_the_order_that_imports_follow() -> None:
    page = TEXTS[DOCS / "development" / "architecture.md"]
    for half, rooms in ROOMS.items():
        table = page.partition(f"### `{half}/`\n")[2].partition("\n#")[0]
        listed = re.findall(rf"^\| `{half}/([a-z_/]+)` \|", table, re.MULTILINE)
        folders = [room.replace(".", "/") for room in rooms if (ROOT / half / room.replace(".", "/")).is_dir()]
        assert listed == folders[::-1]


def test_every_suite_of_ci_is_described() -> None:
    suites = re.findall(r"^suite ([a-z-]+)$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)
    described = re.findall(r"^\| `make ([a-z-]+)` ", TEXTS[DOCS / "development" / "testing.md"], re.MULTILINE)
    assert set(suites) - set(described) == {"setup"}


def test_every_make_target_and_command_that_a_page_names_exists() -> None:
    commands = {row[0]: set(getattr(load(row[0]), "commands", {})) for row in COMMANDS}
    wrong = set()
    for file, text in TEXTS.items():
        for target in re.findall(r"(?:`|^\$ (?:\S+=\S+ )?)make ([a-z-]+)", text, re.MULTILINE):
            if target not in TARGETS:
                wrong.add(f"{name(file)}: make {target}")
        for command, subcommand in OURS.findall(text):
            if command not in commands or (commands[command] and subcommand and subcommand not in commands[command]):
                wrong.add(f"{name(file)}: assay {command} {subcommand}")
    assert wrong == set()


def test_every_option_that_a_console_example_uses_exists() -> None:
    wrong = set()
    for file, text in TEXTS.items():
        for line in re.findall(r"^\$ (?:\.venv/bin/)?assay (.+)$", text, re.MULTILINE):
            first, *words = line.split()
            command = load(first)
            for part in words[:1]:
                command = getattr(command, "commands", {}).get(part, command)
            known = {option for each in command.params for option in each.opts}
            used = {word.partition("=")[0] for word in words if word.startswith("-")}
            wrong |= {f"{name(file)}: assay {line}" for option in used - known if option}
    assert wrong == set()


def test_the_reference_of_the_commands_is_rendered_from_them() -> None:
    page = TEXTS[DOCS / "reference" / "cli.md"]
    assert page == render_reference(), "write it again: python -m bot.cli.reference > docs/reference/cli.md"


def test_the_reference_of_the_settings_has_every_variable_with_its_default() -> None:
    rows = re.findall(rf"^\| `({PREFIX}[A-Z_]+)` \| (.*?) \| ", TEXTS[DOCS / "reference" / "settings.md"], re.MULTILINE)
    assert sorted(row[0] for row in rows) == sorted(PREFIX + field.upper() for field in Settings.model_fields)
    documented = {variable: re.fullmatch(r"`([^`]*)`", default) for variable, default in rows}
    for field, info in Settings.model_fields.items():
        found = documented[PREFIX + field.upper()]
        if isinstance(info.default, (bool, int, float)) or (isinstance(info.default, str) and info.default):
            wanted = (
                str(info.default).lower() if isinstance(info.default, bool) else f"{info.default}".removesuffix(".0")
            )
            assert found is not None, field
            assert found[1] == wanted, field
        else:
            assert found is None, field


def test_every_setting_that_a_page_names_exists() -> None:
    known = {PREFIX + field.upper() for field in Settings.model_fields} | {
        "ASSAY_TEST_POSTGRES_URL",
        "ASSAY_TEST_REDIS_URL",
    }
    named = {variable for text in TEXTS.values() for variable in re.findall(rf"\b{PREFIX}[A-Z_]+\b", text)}
    assert named - known == set()


def test_the_benchmarks_are_the_committed_figures() -> None:
    page, figures = TEXTS[DOCS / "results" / "benchmarks.md"], json.loads((ROOT / "bench/figures.json").read_text())
    for row in figures["screening"]:
        middle, low, high = row["ratio"]
        assert (
            f"| {row['history']} | {row['commits']:,} | {row['git_log_s']} s | {row['cold_s']} s "
            f"| {middle} ({low}–{high}) | {row['pydriller']} × | {row['visited']} of {row['compared']:,} (sample) "
            f"| {row['second_s']:.2f} s | {row['peak_mib']} MiB |"
        ) in page
    first, second, third = (row["pydriller_same_files"] for row in figures["screening"])
    assert f"geometric mean is {figures['pydriller_geometric_mean']} ×" in page
    assert f"the ratios are {first}, {second} and {third}" in page
    for row in figures["receiver"]:
        middle, low, high = row["ratio"]
        assert (
            f"| {row['at_once']} | {row['bare_per_s']:,}/s | {row['assay_per_s']:,}/s "
            f"| {row['p50_ms']}, {row['p99_ms']} ms "
            f"| {middle} ({low}–{high}) | {row['target']} |"
        ) in page


@pytest.mark.parametrize("heading", [
    "Recipe", "Times", "Windows", "Function", "Fix commit", "Attribution", "Credit", "Signal", "Density", "Holdout",
    "Prompt", "Baseline", "ρ", "Outcome", "Verdict", "Threshold rule", "Interfaces",
])  # fmt: skip
def test_the_design_defines_every_term_that_the_code_cites(heading: str) -> None:
    assert f"\n## {heading}\n" in TEXTS[DOCS / "development" / "design.md"]


def test_no_message_of_a_sequence_diagram_has_a_semicolon_which_would_end_it() -> None:
    diagrams = [d for text in TEXTS.values() for d in re.findall(r"```mermaid\n(.*?)```", text, re.DOTALL)]
    assert len(diagrams) == 4
    assert [diagram for diagram in diagrams if diagram.startswith("sequence") and ";" in diagram] == []
