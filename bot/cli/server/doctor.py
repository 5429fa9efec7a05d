"""`assay doctor`: check what screening and the App need, and say how to fix what is missing."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from bot import __version__
from bot.cli.output import AsJson, Check, print_result
from bot.cli.server.doctor_app import check_app
from bot.cli.server.doctor_finetuning import check_finetuning
from bot.cli.server.doctor_service import check_service
from bot.cli.variables import unknown_variables
from bot.sandbox.protections import PROTECTIONS, try_protections
from bot.settings import Settings, load_settings
from pipeline.label_recipe import GRAMMARS, MESSAGES

DISTRIBUTION = "assay"
MIN_FREE_BYTES = 2 << 30  # a clone of a large repository and its cached facts
MIN_MEMORY_BYTES = 1 << 30  # two processes of up to 400 MB each, and a margin
PROCESS_TIMEOUT_S = 20.0


def doctor(
    as_json: AsJson = False,
) -> None:
    """Check the installation and say how to fix what is missing. Exits 1 if something required is missing."""
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
    """Run all checks, the most basic first. Never raises: failures are results."""
    data_dir = settings.data_dir
    yield check_python(sys.version_info[:3])
    yield check_variables(unknown_variables(os.environ))
    yield check_dependencies()
    yield check_grammars()
    yield check_data_dir(data_dir)
    yield check_free_space(data_dir, max(MIN_FREE_BYTES, settings.free_disk_mb << 20))
    yield check_processes()
    yield check_confinement(try_protections())
    yield check_processors(_usable_processors())
    yield check_memory(_memory_bytes())
    yield check_seed(_seed_text(), MESSAGES.id)
    yield check_git(shutil.which("git"))
    yield from check_app(settings)
    yield from check_service(settings)
    yield from check_finetuning(settings)


def check_python(version: tuple[int, ...]) -> Check:
    """Check for Python 3.11 or later."""
    found = ".".join(map(str, version))
    if version >= (3, 11):
        return Check("Python", True, found)
    return Check("Python", False, found, "install Python 3.11 or later and reinstall Assay with it")


def check_variables(unknown: Mapping[str, str]) -> Check:
    """Check that every variable `ASSAY_*` is a setting. One that resembles a setting stops the App at its start."""
    if not unknown:
        return Check("settings", True, "every ASSAY_ variable is known")
    meant = [f"{name} (did you mean {closest}?)" if closest else name for name, closest in unknown.items()]
    to_do = "correct or unset them: they have no effect, and Assay does not start with a misspelt setting"
    return Check("settings", False, f"unknown: {', '.join(meant)}", to_do, required=any(unknown.values()))


def check_dependencies() -> Check:
    """Check that all libraries of the base install are there. Versions are left to pip, except the grammars'."""
    try:
        requirements = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return Check("libraries", False, "Assay itself is not installed", "run make setup, or pip install .")
    required = sorted({_distribution_name(line) for line in requirements if "extra ==" not in line})
    missing = [name for name in required if _version(name) is None]
    if missing:
        return Check("libraries", False, f"missing: {', '.join(missing)}", f"run pip install {' '.join(missing)}")
    return Check("libraries", True, f"{len(required)} installed")


def check_grammars() -> Check:
    """Check the parsers' exact versions: they decide what a function is, so other versions change densities."""
    wrong = [(name, _version(name) or "missing", pinned) for name, pinned in GRAMMARS if _version(name) != pinned]
    if not wrong:
        return Check("parsers", True, f"{len(GRAMMARS)} at the versions of label recipe {MESSAGES.id}")
    found = ", ".join(f"{name} {version}" for name, version, _ in wrong)
    to_do = f"run pip install {' '.join(f'{name}=={pinned}' for name, _, pinned in wrong)}"
    return Check("parsers", False, found, to_do)


def check_data_dir(data_dir: Path) -> Check:
    """Check that the data folder is writable; creates it."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir) as probe:
            probe.write(b"assay")
    except OSError as error:
        to_do = "set ASSAY_DATA_DIR to a writable folder"
        return Check("data folder", False, f"{data_dir}: {error.strerror}", to_do)
    return Check("data folder", True, str(data_dir))


def check_free_space(data_dir: Path, min_bytes: int = MIN_FREE_BYTES) -> Check:
    """Check the free space on the disk of the data folder."""
    folder = next(folder for folder in (data_dir, *data_dir.parents) if folder.exists())
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes >= min_bytes:
        return Check("free disk space", True, _gigabytes(free_bytes), required=False)
    to_do = f"free some space or set ASSAY_DATA_DIR to another disk: large clones need {_gigabytes(min_bytes)}"
    return Check("free disk space", False, _gigabytes(free_bytes), to_do, required=False)


def check_processes() -> Check:
    """Check that child processes can run: some containers lack shared memory or have tight limits."""
    methods = multiprocessing.get_all_start_methods()
    failed = [f"{method}: {reason}" for method in methods if (reason := _child_failure(method))]
    if failed:
        to_do = "raise the process limit (ulimit -u), or screen with --jobs 1"
        return Check("child processes", False, "; ".join(failed), to_do)
    return Check("child processes", True, ", ".join(methods))


def check_confinement(missing: Sequence[str]) -> Check:
    """Check what a child that parses a repository is kept from, which the App tries at its start too."""
    if not missing:
        return Check("confinement", True, f"children are kept from {', '.join(PROTECTIONS)}", required=False)
    to_do = (
        "serve only repositories that you trust, or run Assay on Linux 6.7 or later, x86-64 or ARM64, with Landlock "
        "and seccomp: a file that takes over a parser could reach these"
    )
    return Check("confinement", False, f"children are not kept from {', '.join(missing)}", to_do, required=False)


def check_processors(count: int) -> Check:
    """Report the number of usable processors."""
    return Check("processors", True, str(count))


def check_memory(size_bytes: int | None) -> Check:
    """Check the memory of the machine or container; None: unknown."""
    if size_bytes is None:
        return Check("memory", True, "unknown on this platform", required=False)
    if size_bytes >= MIN_MEMORY_BYTES:
        return Check("memory", True, _gigabytes(size_bytes), required=False)
    to_do = f"screen with --jobs 1: large histories need {_gigabytes(MIN_MEMORY_BYTES)}"
    return Check("memory", False, _gigabytes(size_bytes), to_do, required=False)


def check_seed(text: str | None, label_recipe_id: str) -> Check:
    """Check that the shipped calibration exists and belongs to the current label recipe."""
    if text is None:
        return Check("seed calibration", False, "missing", "reinstall Assay: its data file is missing")
    try:
        found = json.loads(text)["label_recipe_id"]
    except (ValueError, KeyError, TypeError) as error:
        return Check("seed calibration", False, f"invalid: {error!r}", "reinstall Assay: its data file is damaged")
    if found != label_recipe_id:
        to_do = f"run assay calibration seed to measure it for label recipe {label_recipe_id}"
        return Check("seed calibration", False, f"measured under label recipe {found}", to_do)
    return Check("seed calibration", True, f"label recipe {found}")


def check_git(path: str | None) -> Check:
    """Report whether git is installed."""
    if path:
        return Check("git", True, path, required=False)
    to_do = "install git for the demo and the tests; screening does not need it"
    return Check("git", False, "not on PATH", to_do, required=False)


def render(result: dict[str, Any]) -> Group:
    """Render one line per check, with the advice in bold below it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in result["checks"]:
        table.add_row(_mark(check), Text(check["name"]), Text(check["found"]))
        if check["to_do"]:
            table.add_row("", "", Text(check["to_do"], style="bold"))
    summary = "Everything required is present." if result["ok"] else "Something is missing: see the lines in bold."
    return Group(Text(f"assay {result['version']}"), table, Text(summary))


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
    """Start a child that should exit with 7; return what went wrong, empty if nothing did."""
    try:
        child = multiprocessing.get_context(method).Process(target=_exit_with_7)  # type: ignore[attr-defined]
        child.start()
    except OSError as error:
        return error.strerror or repr(error)
    child.join(PROCESS_TIMEOUT_S)
    if child.exitcode is None:
        child.kill()
        return f"did not end within {PROCESS_TIMEOUT_S:.0f} s"
    return "" if child.exitcode == 7 else f"exited with {child.exitcode}"


def _exit_with_7() -> None:
    sys.exit(7)


def _usable_processors() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    """Return the lesser of the machine's memory and the container's limit; None if unknown."""
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
