"""`assay doctor`: is everything here that a screening and the App need, and if not, what is to be done?"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib import metadata, resources
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from bot import __version__
from bot.cli.check import Check
from bot.cli.output import print_result
from bot.cli.server.doctor_app import check_app
from bot.cli.server.doctor_finetuning import check_finetuning
from bot.settings import Settings, load_settings
from pipeline.label_recipe import GRAMMARS, MESSAGES

DISTRIBUTION = "assay"
FEWEST_FREE_BYTES = 2 << 30  # a clone of a large repository and what is remembered about it
FEWEST_MEMORY_BYTES = 1 << 30  # two processes of at most 400 MB each, and some air
PROCESS_TIMEOUT_S = 20.0


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check the installation and say what is missing."""
    checks = tuple(check_up(load_settings()))
    ok = all(check.ok for check in checks if check.required)
    result = {
        "ok": ok,
        "version": __version__,
        "label_recipe_id": MESSAGES.id,
        "checks": [asdict(check) for check in checks],
    }
    print_result(result, as_json, render)
    if not ok:
        raise typer.Exit(1)


def check_up(settings: Settings) -> Iterator[Check]:
    """Every check, in the order in which a person would look. Raises nothing: a failed check is an answer."""
    data_dir = settings.data_dir
    yield check_python(sys.version_info[:3])
    yield check_dependencies()
    yield check_grammars()
    yield check_data_dir(data_dir)
    yield check_free_space(data_dir, max(FEWEST_FREE_BYTES, settings.free_disk_mb << 20))
    yield check_processes()
    yield check_processors(_usable_processors())
    yield check_memory(_memory_bytes())
    yield check_seed(_seed_text(), MESSAGES.id)
    yield check_git(shutil.which("git"))
    yield from check_app(settings)
    yield from check_finetuning(settings)


def check_python(version: tuple[int, ...]) -> Check:
    found = ".".join(map(str, version))
    if version >= (3, 11):
        return Check("Python", True, found)
    return Check("Python", False, found, "install Python 3.11 or newer and set Assay up again with it")


def check_dependencies() -> Check:
    """Is every library of the base install here? Which version is pip's affair, but for the grammars."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return Check("libraries", False, "Assay itself is not installed", "run make setup, or pip install .")
    wanted = sorted({_distribution_name(line) for line in requirements if "extra ==" not in line})
    missing = [name for name in wanted if _version(name) is None]
    if missing:
        return Check("libraries", False, f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
    return Check("libraries", True, f"{len(wanted)} installed")


def check_grammars() -> Check:
    """The parsers decide what a function is: with another version a density is not comparable."""
    wrong = [(name, _version(name) or "missing", wanted) for name, wanted in GRAMMARS if _version(name) != wanted]
    if not wrong:
        return Check("parsers", True, f"{len(GRAMMARS)} at the versions of label recipe {MESSAGES.id}")
    found = ", ".join(f"{name} {version}" for name, version, _ in wrong)
    return Check("parsers", False, found, f"pip install {' '.join(f'{name}=={wanted}' for name, _, wanted in wrong)}")


def check_data_dir(data_dir: Path) -> Check:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir) as probe:
            probe.write(b"assay")
    except OSError as error:
        to_do = "set ASSAY_DATA_DIR to a folder that you can write to"
        return Check("data folder", False, f"{data_dir}: {error.strerror}", to_do)
    return Check("data folder", True, str(data_dir))


def check_free_space(data_dir: Path, fewest_bytes: int = FEWEST_FREE_BYTES) -> Check:
    folder = next(folder for folder in (data_dir, *data_dir.parents) if folder.exists())
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes >= fewest_bytes:
        return Check("free disk space", True, _gigabytes(free_bytes), required=False)
    to_do = f"free some, or set ASSAY_DATA_DIR to another disk: large clones need {_gigabytes(fewest_bytes)}"
    return Check("free disk space", False, _gigabytes(free_bytes), to_do, required=False)


def check_processes() -> Check:
    """Do child processes start and end? Containers without shared memory or with tight limits forbid it."""
    methods = multiprocessing.get_all_start_methods()
    failed = [f"{method}: {reason}" for method in methods if (reason := _child_failure(method))]
    if failed:
        to_do = "raise the limit on processes (ulimit -u) or screen with --jobs 1"
        return Check("child processes", False, "; ".join(failed), to_do)
    return Check("child processes", True, ", ".join(methods))


def check_processors(count: int) -> Check:
    return Check("processors", True, str(count))


def check_memory(size_bytes: int | None) -> Check:
    if size_bytes is None:
        return Check("memory", True, "not known on this platform", required=False)
    if size_bytes >= FEWEST_MEMORY_BYTES:
        return Check("memory", True, _gigabytes(size_bytes), required=False)
    to_do = f"large histories need {_gigabytes(FEWEST_MEMORY_BYTES)}: screen with --jobs 1"
    return Check("memory", False, _gigabytes(size_bytes), to_do, required=False)


def check_seed(text: str | None, label_recipe_id: str) -> Check:
    """Is the shipped calibration there, and was it measured under the label recipe in force?"""
    if text is None:
        return Check("seed calibration", False, "missing", "install Assay again: its data file is not there")
    try:
        found = json.loads(text)["label_recipe_id"]
    except (ValueError, KeyError, TypeError) as error:
        return Check("seed calibration", False, f"broken: {error!r}", "install Assay again: its data file is damaged")
    if found != label_recipe_id:
        to_do = f"measure it again for label recipe {label_recipe_id}: assay calibration seed"
        return Check("seed calibration", False, f"measured under label recipe {found}", to_do)
    return Check("seed calibration", True, f"label recipe {found}")


def check_git(place: str | None) -> Check:
    if place:
        return Check("git", True, place, required=False)
    to_do = "screening works without it; the demo and the tests need it"
    return Check("git", False, "not on PATH", to_do, required=False)


def render(result: dict[str, Any]) -> Group:
    """One line a check, and what to do at the end."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in result["checks"]:
        table.add_row(_mark(check), Text(check["name"]), Text(check["found"]))
        if check["to_do"]:
            table.add_row("", "", Text(check["to_do"], style="bold"))
    ending = "Everything needed is here." if result["ok"] else "Something is missing: the bold lines say what to do."
    return Group(Text(f"assay {result['version']}"), table, Text(ending))


def _mark(check: dict[str, Any]) -> Text:
    if check["ok"]:
        return Text("ok", style="green")
    return Text("missing", style="red") if check["required"] else Text("note", style="yellow")


def _distribution_name(requirement: str) -> str:
    """`rich>=14; python_version > "3"` -> `rich`."""
    name = requirement.split(";")[0].strip()
    return name[: next((i for i, c in enumerate(name) if not (c.isalnum() or c in "._-")), len(name))]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _seed_text() -> str | None:
    try:
        return resources.files("pipeline.calibration").joinpath("seed.json").read_text(encoding="utf-8")
    except (OSError, ModuleNotFoundError):
        return None


def _child_failure(method: str) -> str:
    """What went wrong with a child that should answer 7; empty if nothing did."""
    try:
        child = multiprocessing.get_context(method).Process(target=_answer)  # type: ignore[attr-defined]
        child.start()
    except OSError as error:
        return error.strerror or repr(error)
    child.join(PROCESS_TIMEOUT_S)
    if child.exitcode is None:
        child.kill()
        return f"no answer within {PROCESS_TIMEOUT_S:.0f} s"
    return "" if child.exitcode == 7 else f"ended with {child.exitcode}"


def _answer() -> None:
    sys.exit(7)


def _usable_processors() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    """The machine's memory or the container's limit, whichever is less."""
    try:
        size_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return size_bytes
    return min(size_bytes, int(limit)) if limit.isdigit() else size_bytes


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):.1f} GB"
