"""Who may import whom, and what touches the world: the tables come first, then the rules that apply them.

docs/development/architecture.md explains the rooms.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from pipeline.label_recipe import GRAMMARS
from tests.builders.history import History

ROOT = Path(__file__).parent.parent

# From the ground up: a room may import itself and the rooms before it. Names in one set do not import each other.
ROOMS: dict[str, Sequence[str]] = {
    "pipeline": (
        "records", "label_recipe", "json_fields", "git", "syntax.shadow", "syntax", "classify", "calibration",
        "mining.facts", "mining", "screening", "ranking", "finetuning", "finetuning.training", "reports",
    ),
    "bot": (
        "peak_memory", "metrics", "logs", "clock", "records", "base_models", "settings", "policy", "run_progress",
        "store", "github", "disk", "sandbox", "repo_config", "web", "commands", "calibration", "messages", "jobs",
        "receiver", "setup", "runs", "handlers", "gpu_worker", "web_process", "worker_process", "cli",
    ),
}  # fmt: skip

MAX_FILES_IN_A_FOLDER = 25

# A basename stands once in each half. These stand twice because the same word is right in two rooms.
BASENAMES_TWICE = {
    "pipeline": {},
    "bot": {
        "database": "the store's, and how a command finds it",
        "errors": "each room that raises errors of its own",
        "lease": "of a job, and of a run",
        "migrate": "a command, and what it calls",
        "parse": "of comments, and of configuration files",
        "screen": "a command, and a job",
        "worker": "of jobs, and of runs",
    },
}  # fmt: skip

# Modules are nouns or verbs in the imperative; these nouns happen to end in -ing.
NOUNS_IN_ING = {"active_ranking", "doctor_finetuning"}

# Where a third-party library may be imported: a module, or a folder with all that is in it.
WRAPPED = {
    "dulwich": ("pipeline.git",),
    "urllib3": ("pipeline.git.remote", "pipeline.git.http"),
    "rapidfuzz": ("pipeline.syntax.hunks", "pipeline.syntax.tokens", "pipeline.mining.facts.lineage"),
    "tree_sitter": ("pipeline.syntax",),
    "numpy": ("pipeline.git.history", "pipeline.calibration", "pipeline.screening", "pipeline.ranking",
              "pipeline.finetuning"),
    "scipy": ("pipeline.ranking.statistics",),
    "sklearn": ("pipeline.ranking.competitors", "pipeline.finetuning.training.embeddings"),
    "huggingface_hub": ("pipeline.finetuning.training.base_model_files",),
    "accelerate": ("pipeline.finetuning.training",),
    "fsspec": ("pipeline.finetuning.artifact_store",),
    "safetensors": ("pipeline.finetuning.training",),
    "torch": ("pipeline.finetuning.training",),
    "transformers": ("pipeline.finetuning.training",),
    "peft": ("pipeline.finetuning.training",),
    "jinja2": ("pipeline.reports", "bot.web", "bot.setup"),
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
    "starlette": ("bot.web_process", "bot.receiver", "bot.web", "bot.setup", "bot.cli.server.serve"),
    "uvicorn": ("bot.web_process",),
    "structlog": ("bot",),
    "prometheus_client": ("bot.metrics", "bot.web.metrics_endpoint"),
}  # fmt: skip

# Rooms that compute: values in, values out. What of them touches the world is named below, with the reason.
COMPUTES = ("pipeline", "bot.messages", "bot.commands", "bot.repo_config", "bot.records", "bot.policy")
TOUCHES_THE_WORLD = {
    "pipeline.calibration.ledger": "appends to the ledger",
    "pipeline.calibration.published": "reads a data file of the package",
    "pipeline.calibration.reproduced": "reads a data file of the package",
    "pipeline.calibration.seed": "reads a data file of the package",
    "pipeline.finetuning.adapter": "reads and writes adapter directories",
    "pipeline.finetuning.artifact_store": "stores the files of a run",
    "pipeline.finetuning.job_folder": "writes the results of a run",
    "pipeline.finetuning.libraries": "silences libraries by their environment variables",
    "pipeline.finetuning.model_digest": "reads a model directory",
    "pipeline.finetuning.pair_file": "reads and writes pair sets",
    "pipeline.finetuning.training": "reads models, writes checkpoints and adapters, uses devices",
    "pipeline.git": "reads repositories, clones and fetches",
    "pipeline.mining.facts.store": "caches facts between runs",
    "pipeline.mining.facts.worker_pool": "starts processes",
    "pipeline.mining.miner": "names the cache of facts",
    "pipeline.reports.pairs_parquet": "writes Parquet",
    "pipeline.screening.measure": "names the cache of facts",
    "pipeline.syntax.stack_probe": "gives the parser a file in memory to print its stack to",
    "bot.policy": "holds the path of a CA bundle",
    "bot.repo_config.effective": "loads configurations from the store",
    "bot.repo_config.json_schema": "prints the schema when it is run",
}
THE_WORLD = {
    "asyncio", "concurrent", "ctypes", "fcntl", "glob", "http", "importlib.resources", "logging", "mmap",
    "multiprocessing", "os", "pathlib", "shutil", "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading",
    "time", "urllib.request",
    # and the rooms of bot/ that are there to touch it:
    "bot.store", "bot.github", "bot.disk", "bot.sandbox", "bot.jobs", "bot.settings", "bot.clock", "bot.logs",
}  # fmt: skip
WORLDLY_CALLS = {"open", "print", "input", "exec", "eval"}

# Composition: the only places that read settings or the environment,
# and the module that sets what model libraries read before they are imported.
READS_SETTINGS = ("bot.settings", "bot.cli", "bot.web_process", "bot.worker_process", "pipeline.finetuning.libraries")

NEVER_FOR_A_SCREENING = {"torch", "transformers", "peft"}

# Import name -> name of the distribution, where they differ by more than `_`.
DISTRIBUTIONS = {"re2": "google-re2", "sklearn": "scikit-learn", "yaml": "pyyaml"}

# Declared and imported by no module of ours: a library of ours needs it, and does not constrain it as we must.
FOR_OTHERS = {"aiosqlite", "hishel"}


@dataclass(frozen=True)
class Module:
    name: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @cached_property
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

    @property
    def half(self) -> str:
        return self.name.partition(".")[0]

    @property
    def file(self) -> str:
        return self.name.replace(".", "/") + ".py"


def parse(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path.read_text(encoding="utf-8"))


FILES = [path for half in ROOMS for path in sorted((ROOT / half).rglob("*.py"))]
MODULES = [parse(path) for path in FILES]
OURS_OR_STANDARD = {*ROOMS, *sys.stdlib_module_names}


def is_within(name: str, *places: str) -> bool:
    """Whether `name` is one of `places`, or in one of them."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def room_of(name: str) -> str | None:
    """The room that a dotted name of ours is in (the deepest that fits); None for a half itself."""
    half, _, rest = name.partition(".")
    return max((room for room in ROOMS.get(half, ()) if is_within(rest, room)), key=len, default=None)


def library_of(name: str) -> str:
    """The library that an import belongs to; the grammar wheels are one with tree-sitter, pydantic's core with it."""
    top = name.partition(".")[0]
    return next((whole for whole in ("tree_sitter", "pydantic_settings", "pydantic") if top.startswith(whole)), top)


def outermost(names: Iterable[str]) -> list[str]:
    """The names of which no beginning is listed too: `a.b`, and not `a.b.c` as well."""
    listed = sorted(names)
    return [name for name in listed if not any(name.startswith(f"{other}.") for other in listed)]


def the_pipeline_knows_nothing_of_the_bot(module: Module) -> Iterator[str]:
    if module.half == "pipeline":
        yield from outermost(name for name in module.imports if is_within(name, "bot"))


def rooms_import_only_downwards(module: Module) -> Iterator[str]:
    if module.name == module.half:
        return
    rooms, room = ROOMS[module.half], room_of(module.name)
    if room is None:
        yield "stands in no room of the table"
        return
    ours = {name: room_of(name) for name in module.imports if is_within(name, module.half)}
    upward = [name for name, entered in ours.items() if entered and rooms.index(entered) > rooms.index(room)]
    yield from (f"{name}, from {room} up to {ours[name]}" for name in outermost(upward))


def libraries_are_imported_only_where_they_are_wrapped(module: Module) -> Iterator[str]:
    for library in sorted({library_of(name) for name in module.imports} - OURS_OR_STANDARD):
        places = WRAPPED.get(library, ())
        if not is_within(module.name, *places):
            yield f"{library}, allowed in {', '.join(places) or 'no module yet: name its place in WRAPPED'}"


def what_computes_touches_nothing(module: Module) -> Iterator[str]:
    if is_within(module.name, *COMPUTES) and not is_within(module.name, *TOUCHES_THE_WORLD):
        yield from touches(module)


def touches(module: Module) -> Iterator[str]:
    yield from outermost(name for name in module.imports if is_within(name, *THE_WORLD))
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in WORLDLY_CALLS:
            yield f"{node.func.id}()"


def only_composition_reads_settings(module: Module) -> Iterator[str]:
    if is_within(module.name, *READS_SETTINGS):
        return
    yield from outermost(name for name in module.imports if is_within(name, "bot.settings"))
    reads = {"environ", "environb", "getenv", "getenvb"}
    attributes = (node.attr for node in ast.walk(module.tree) if isinstance(node, ast.Attribute))
    imported = (name.rpartition(".")[2] for name in module.imports)
    yield from (f"os.{name}" for name in sorted(reads.intersection((*attributes, *imported))))


RULES: tuple[Callable[[Module], Iterator[str]], ...] = (
    the_pipeline_knows_nothing_of_the_bot,
    rooms_import_only_downwards,
    libraries_are_imported_only_where_they_are_wrapped,
    what_computes_touches_nothing,
    only_composition_reads_settings,
)


def violations(module: Module) -> list[str]:
    """One line for each rule that a module breaks: file, rule, and what breaks it."""
    return [f"{module.file}: {rule.__name__.replace('_', ' ')}: {what}" for rule in RULES for what in rule(module)]


def test_every_module_keeps_every_rule() -> None:
    if broken := [line for module in MODULES for line in violations(module)]:
        pytest.fail("\n".join(broken), pytrace=False)


def test_the_tables_name_nothing_that_is_not_there() -> None:
    names = {module.name for module in MODULES}
    rooms = [f"{half}.{room}" for half, rooms in ROOMS.items() for room in rooms]
    places = [place for places in WRAPPED.values() for place in places]
    assert [
        name for name in (*rooms, *places, *COMPUTES, *TOUCHES_THE_WORLD, *READS_SETTINGS) if name not in names
    ] == []


def test_what_may_touch_the_world_does() -> None:
    idle = [
        name
        for name in TOUCHES_THE_WORLD
        if not any(list(touches(module)) for module in MODULES if is_within(module.name, name))
    ]
    assert idle == []


@pytest.mark.parametrize("half", ROOMS)
def test_folders_are_small_and_a_basename_stands_once(half: str) -> None:
    files = [path for path in FILES if path.is_relative_to(ROOT / half) and path.stem != "__init__"]
    folders = Counter(str(path.parent.relative_to(ROOT)) for path in files)
    assert {folder: n for folder, n in folders.items() if n > MAX_FILES_IN_A_FOLDER} == {}
    stems = Counter(path.stem for path in files)
    assert {stem for stem, n in stems.items() if n > 1} == set(BASENAMES_TWICE[half])
    named = [path.stem for path in files if "migrations" not in path.parts]
    assert [stem for stem in named if stem.endswith("ing") and stem not in NOUNS_IN_ING] == []


def test_a_rule_that_is_broken_is_told_in_one_line() -> None:
    credit, decide = "pipeline.mining.credit", "bot.commands.decide"
    cases = [
        (credit, "import os.path", "what computes touches nothing: os.path"),
        (credit, "def f():\n    from pathlib import Path", "what computes touches nothing: pathlib"),
        (credit, "from importlib.resources import files", "what computes touches nothing: importlib.resources"),
        (credit, "from importlib import resources", "what computes touches nothing: importlib.resources"),
        (credit, "def f(path):\n    return open(path)", "what computes touches nothing: open()"),
        (credit, "import importlib, math", ""),
        (credit, "from dulwich.pack import Pack", "libraries are imported only where they are wrapped: dulwich"),
        (credit, "import tree_sitter_go", "libraries are imported only where they are wrapped: tree_sitter"),
        (credit, "from bot import records", "the pipeline knows nothing of the bot: bot"),
        (credit, "from pipeline.screening.signal import signals", "rooms import only downwards: pipeline.screening"),
        (credit, "from pipeline import screening", "rooms import only downwards: pipeline.screening"),
        (credit, "from pipeline.syntax.hunks import diff_hunks", ""),
        (credit, "import os\nKEY = os.environ['KEY']", "only composition reads settings: os.environ"),
        (credit, "from os import getenv", "only composition reads settings: os.getenv"),
        ("pipeline.ranking.rank", "import torch", "libraries are imported only where they are wrapped: torch"),
        ("pipeline.finetuning.recipe", "import peft", "libraries are imported only where they are wrapped: peft"),
        ("pipeline.finetuning.recipe", "import pipeline.finetuning.training.model", "rooms import only downwards"),
        ("bot.jobs.sweeper", "from bot.handlers.registry import HANDLERS", "rooms import only downwards: bot.handlers"),
        ("bot.store.jobs", "from bot.jobs.context import JobContext", "rooms import only downwards: bot.jobs"),
        ("bot.messages.replies", "from pathlib import Path", "what computes touches nothing: pathlib"),
        ("bot.messages.replies", "from bot.store.runs import load_run", "what computes touches nothing: bot.store"),
        ("bot.messages.replies", "def f():\n    print('hello')", "what computes touches nothing: print()"),
        (decide, "from bot.github.client import InstallationClient", "what computes touches nothing: bot.github"),
        (decide, "from bot.settings import Settings", "only composition reads settings: bot.settings"),
        ("bot.handlers.screening.post_check", "from bot.store.runs import load_run", ""),
        ("bot.nowhere.thing", "", "rooms import only downwards: stands in no room of the table"),
    ]
    missed = []
    for name, source, rule in cases:
        module = Module(name, source)
        expected = f"{module.file}: {rule}"
        lines = violations(module)
        if not (any(line.startswith(expected) for line in lines) if rule else lines == []):
            missed.append((name, source, rule, lines))
    assert missed == []


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
def test_every_declared_library_is_locked_and_the_parsers_at_their_versions(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==", text, re.MULTILINE))
    assert set(BASE) - locked == set()
    assert [name for name, version in GRAMMARS if f"{name}=={version} \\" not in text.splitlines()] == []
