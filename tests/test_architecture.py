"""Who may import whom. The tables come first; the rest applies them to every module of `pipeline` and `bot`."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.label_recipe import GRAMMARS
from tests.builders.history import History

ROOT = Path(__file__).parent.parent

# A room may import itself and what stands before it. `reports` turns values of any room into pages and files.
ROOMS = ("records", "recipe", "mining", "screening", "ranking", "finetuning", "reports")

# Where a third-party library may be imported: a module, or a folder with all that is in it.
WRAPPED = {
    "dulwich": ("pipeline.git.objects", "pipeline.git.packs", "pipeline.git.delta_chains",
                "pipeline.git.repository", "pipeline.git.clone", "pipeline.git.pack_index",
                "pipeline.git.remote", "pipeline.git.http"),
    "urllib3": ("pipeline.git.remote", "pipeline.git.http"),
    "rapidfuzz": ("pipeline.syntax.hunks", "pipeline.syntax.tokens", "pipeline.syntax.functions"),
    "tree_sitter": ("pipeline.syntax.grammars", "pipeline.syntax.names", "pipeline.syntax.outline",
                    "pipeline.syntax.limits", "pipeline.syntax.parser", "pipeline.syntax.tokens",
                    "pipeline.syntax.functions", "pipeline.syntax.metrics"),
    "numpy": ("pipeline.git.history", "pipeline.screening", "pipeline.ranking", "pipeline.finetuning"),
    "scipy": ("pipeline.ranking.statistics",),
    "sklearn": ("pipeline.ranking.competitors", "pipeline.finetuning.training.embeddings"),
    "huggingface_hub": ("pipeline.finetuning.training.base_model_files",),
    "accelerate": ("pipeline.finetuning",),
    "fsspec": ("pipeline.finetuning.artifact_store",),
    "safetensors": ("pipeline.finetuning",),
    "torch": ("pipeline.finetuning", "bot.cli.local.finetune"),
    "transformers": ("pipeline.finetuning",),
    "peft": ("pipeline.finetuning",),
    "jinja2": ("pipeline.reports", "bot.web"),
    "matplotlib": ("pipeline.reports",),
    "pathspec": ("pipeline.classify.patterns",),
    "re2": ("pipeline.classify.patterns",),
    "yaml": ("bot.repo_config.yaml_tree",),
    "pyarrow": ("pipeline.reports", "pipeline.finetuning.function_table"),
    "pydantic": ("bot",),
    "pydantic_settings": ("bot.settings",),
    "typer": ("bot.cli",),
    "rich": ("bot.cli",),
    "sqlalchemy": ("bot.store",),
    "alembic": ("bot.store",),
    "githubkit": ("bot.github",),
    "httpx": ("bot.github",),
    "arq": ("bot.jobs",),
    "redis": ("bot.jobs",),
    "starlette": ("bot.web_process", "bot.receiver", "bot.web", "bot.cli.server.serve"),
    "uvicorn": ("bot.web_process",),
    "structlog": ("bot",),
    "prometheus_client": ("bot.metrics", "bot.web.metrics_endpoint"),
}  # fmt: skip

# What touches the world outside the process. Every other module of the pipeline computes: values in, values out.
TOUCHES_THE_WORLD = {
    "pipeline.finetuning.adapter": "writes and reads adapter directories",
    "pipeline.finetuning.training.base_model_files": "reads the files of a base model",
    "pipeline.finetuning.pair_file": "writes and reads pair sets",
    "pipeline.finetuning.training.adapter_scorer": "lists the adapters of a job",
    "pipeline.finetuning.training.finetune": "says where the results of a job go",
    "pipeline.finetuning.training.refit": "says where the results of a training once more go",
    "pipeline.finetuning.job_folder": "writes the results of a job",
    "pipeline.finetuning.artifact_store": "keeps the files of a run",
    "pipeline.finetuning.model_digest": "reads a model directory",
    "pipeline.git.clone": "clones and fetches",
    "pipeline.mining.facts.worker_pool": "starts processes",
    "pipeline.mining.facts.store": "remembers facts between runs",
    "pipeline.git.pack_index": "writes the index of a pack that was fetched",
    "pipeline.mining.miner": "says where facts are remembered",
    "pipeline.git.objects": "reads loose objects",
    "pipeline.git.packs": "reads packs",
    "pipeline.git.remote": "talks to git servers",
    "pipeline.git.repository": "finds and reads a repository",
    "pipeline.git.http": "talks HTTP, through the proxy that the environment names",
    "pipeline.reports.pairs_parquet": "writes Parquet",
    "pipeline.calibration.ledger": "appends to the ledger",
    "pipeline.screening.measure": "says where facts are remembered",
    "pipeline.calibration.published": "reads a data file of the package",
    "pipeline.calibration.reproduced": "reads a data file of the package",
    "pipeline.calibration.seed": "reads a data file of the package",
}
THE_WORLD = {
    "asyncio", "concurrent", "ctypes", "fcntl", "glob", "http", "importlib.resources", "logging", "mmap",
    "multiprocessing", "os", "pathlib", "shutil", "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading",
    "time", "urllib.request",
}  # fmt: skip
WORLDLY_CALLS = {"open", "print", "input", "exec", "eval"}

# Composition: the only places that read settings or the environment.
READS_SETTINGS = ("bot.settings", "bot.cli", "bot.web_process", "bot.worker_process")

NEVER_FOR_A_SCREENING = {"torch", "transformers", "peft"}

# Import name -> name of the distribution, where they differ by more than `_`.
DISTRIBUTIONS = {"re2": "google-re2", "sklearn": "scikit-learn", "yaml": "pyyaml"}

# Declared and imported by no module of ours: what a library of ours needs and does not ask for as we want it.
FOR_OTHERS = {"aiosqlite", "hishel"}


@dataclass(frozen=True)
class Module:
    name: str
    tree: ast.Module

    @property
    def imports(self) -> frozenset[str]:
        """Absolute names of everything imported anywhere in the module: `a.b` and `a.b.c` for `from a.b import c`."""
        names: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name} imports relatively"
                names.add(node.module or "")
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
        return frozenset(names)


def parse(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, ast.parse(path.read_text(encoding="utf-8")))


MODULES = [parse(path) for folder in ("pipeline", "bot") for path in sorted((ROOT / folder).rglob("*.py"))]
NAMES = [module.name for module in MODULES]
OURS_OR_STANDARD = {"pipeline", "bot", *sys.stdlib_module_names}


def is_within(name: str, *places: str) -> bool:
    """Is `name` one of `places`, or in one of them?"""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def rooms_entered(module: Module) -> Iterator[str]:
    for name in module.imports:
        parts = name.split(".")
        if parts[0] == "pipeline" and len(parts) > 1:
            yield parts[1]


def library_of(name: str) -> str:
    """The library that an import belongs to; the grammar wheels are one with tree-sitter, pydantic's core with it."""
    top = name.partition(".")[0]
    return next((whole for whole in ("tree_sitter", "pydantic_settings", "pydantic") if top.startswith(whole)), top)


def environment_reads(module: Module) -> list[str]:
    """Every mention of `os.environ`, `os.getenv` and their kin."""
    attributes = [node.attr for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)]
    wanted = {"environ", "environb", "getenv", "getenvb"}
    return [name for name in (*attributes, *(name.rpartition(".")[2] for name in module.imports)) if name in wanted]


def calls(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


every_module = pytest.mark.parametrize("module", MODULES, ids=NAMES)


@every_module
def test_the_pipeline_knows_nothing_of_the_bot(module: Module) -> None:
    if is_within(module.name, "pipeline"):
        assert [name for name in module.imports if is_within(name, "bot")] == []


@every_module
def test_rooms_are_entered_one_way(module: Module) -> None:
    top, _, rest = module.name.partition(".")
    if top == "pipeline" and rest:
        room = rest.partition(".")[0]
        allowed = ROOMS[: ROOMS.index(room) + 1] if room != "records" else ()
        assert [entered for entered in rooms_entered(module) if entered not in allowed] == []


@every_module
def test_a_library_is_imported_only_where_it_is_wrapped(module: Module) -> None:
    libraries = {library_of(name) for name in module.imports} - OURS_OR_STANDARD
    assert {library for library in libraries if library not in WRAPPED} == set(), "name its place in WRAPPED"
    assert {library for library in libraries if not is_within(module.name, *WRAPPED[library])} == set()


@every_module
def test_what_computes_does_not_touch_the_world(module: Module) -> None:
    if is_within(module.name, "bot") or module.name in TOUCHES_THE_WORLD:
        return
    assert [name for name in module.imports if is_within(name, *THE_WORLD)] == []
    assert WORLDLY_CALLS.intersection(calls(module)) == set()


@every_module
def test_only_composition_reads_settings(module: Module) -> None:
    if is_within(module.name, *READS_SETTINGS):
        return
    assert [name for name in module.imports if is_within(name, "bot.settings")] == []
    assert environment_reads(module) == []


def test_the_tables_name_no_room_that_is_not_there() -> None:
    assert {name.split(".")[1] for name in NAMES if name.startswith("pipeline.")} <= set(ROOMS)


@pytest.mark.parametrize("name", TOUCHES_THE_WORLD)
def test_what_may_touch_the_world_is_there_and_does(name: str) -> None:
    (module,) = (module for module in MODULES if module.name == name)
    worldly_imports = [imported for imported in module.imports if is_within(imported, *THE_WORLD)]
    assert worldly_imports or WORLDLY_CALLS.intersection(calls(module))


@pytest.mark.parametrize(
    ("source", "broken"),
    [
        ("import os.path", "the world"),
        ("def f():\n    from pathlib import Path", "the world"),
        ("from importlib.resources import files", "the world"),
        ("from importlib import resources", "the world"),
        ("def f(path):\n    return open(path)", "the world"),
        ("import importlib, math", ""),
        ("from dulwich.pack import Pack", "a library"),
        ("import tree_sitter_go", "a library"),
        ("from bot import settings", "the bot"),
        ("from pipeline.calibration.seed import load_seed", "one way"),
        ("from pipeline import screening", "one way"),
        ("from pipeline.syntax.hunks import hunks", ""),
        ("import os\nKEY = os.environ['KEY']", "settings"),
        ("from os import getenv", "settings"),
    ],
)
def test_a_rule_that_is_broken_is_noticed(source: str, broken: str) -> None:
    rules = {
        "the bot": test_the_pipeline_knows_nothing_of_the_bot,
        "one way": test_rooms_are_entered_one_way,
        "a library": test_a_library_is_imported_only_where_it_is_wrapped,
        "the world": test_what_computes_does_not_touch_the_world,
        "settings": test_only_composition_reads_settings,
    }
    module = Module("pipeline.mining.credit", ast.parse(source))
    noticed = {rule for rule, test in rules.items() if not _passes(test, module)}
    assert broken in noticed if broken else noticed == set()


def _passes(test: Callable[[Module], None], module: Module) -> bool:
    try:
        test(module)
    except AssertionError:
        return False
    return True


SCREENS = """
import sys
from bot.cli.main import run
code = run(["screen", sys.argv[1], "--json"])
print(code, *sys.modules)
"""


def test_a_screening_never_loads_what_only_a_gpu_needs(tmp_path: Path) -> None:
    history = History()
    history.commit("start", {"a.py": "def f(x):\n    y = x\n    return y\n"}, day=0)
    history.commit("fix: f", {"a.py": "def f(x):\n    y = x + 1\n    return y\n"}, day=900)
    repository = history.write(tmp_path / "repo.git")
    done = subprocess.run(
        [sys.executable, "-c", SCREENS, str(repository)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "ASSAY_DATA_DIR": str(tmp_path / "data")},
    )
    result, loaded = done.stdout.splitlines()
    assert json.loads(result)["verdict"] == "SKIP"
    code, *modules = loaded.split()
    assert (code, NEVER_FOR_A_SCREENING.intersection(modules)) == ("0", set())


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BASE = {re.split(r"[^A-Za-z0-9._-]", line)[0]: line for line in PROJECT["dependencies"]}
FINETUNE = {re.split(r"[^A-Za-z0-9._-]", line)[0] for line in PROJECT["optional-dependencies"]["finetune"]}


def test_every_library_that_is_imported_is_declared_and_every_declared_one_is_imported() -> None:
    imported = {library_of(name) for module in MODULES for name in module.imports} - OURS_OR_STANDARD
    grammars = {name for name, _ in GRAMMARS}
    assert {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in imported} == (
        set(BASE) - grammars - FOR_OTHERS | {"tree-sitter"} | FINETUNE
    )


def test_the_parsers_are_pinned_to_the_versions_of_the_label_recipe() -> None:
    assert {line for name, line in BASE.items() if name.startswith("tree-sitter")} == {
        f"{name}=={version}" for name, version in GRAMMARS
    }


@pytest.mark.parametrize("lock", ["requirements/dev.txt", "requirements/bench.txt"])
def test_every_declared_library_is_locked(lock: str) -> None:
    locked = set(
        re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert set(BASE) - locked == set()


@pytest.mark.parametrize("lock", ["requirements/dev.txt", "requirements/bench.txt"])
def test_the_parsers_are_locked_at_the_versions_of_the_label_recipe(lock: str) -> None:
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    assert [name for name, version in GRAMMARS if f"{name}=={version} \\" not in lines] == []
