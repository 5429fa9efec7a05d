"""Three made-up repositories with a density known beforehand: every commit follows from a `Story`, every time the same.

A story lasts 1,800 days, so the windows have their full length: the training window is (day 705, day 1,435], the
horizon the 365 days after it. Every function is born before day 600. Every fix touches one function alone and so gives
it 0.7; what else happens (features, typos, dependency bumps, reformatted lines) gives nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.builders.history import History

LAST_DAY = 1_800
BORN_BY_DAY = 600
TRAINING_DAYS = (LAST_DAY - 1_095 + 10, LAST_DAY - 365 - 10)
HORIZON_DAYS = (LAST_DAY - 365 + 10, LAST_DAY - 10)
CREDIT_OF_A_FIX = 0.7
FUNCTIONS_A_FILE = 12
FILES_A_COMMIT = 4
NOISE_EVERY_DAYS = 4  # often enough that no date looks like an outlier among its neighbours
NOISE_EVENT, ARRIVAL = -1, -2

DOMAINS = ("orders", "stock", "billing", "parcels", "returns", "ledger", "tariffs", "routes", "claims", "quotes")
LAYERS = ("rules", "import", "export", "totals", "search", "limits", "audit", "merge", "notify", "history")
VERBS = ("sum", "pick", "rank", "clamp", "split", "match", "count", "scale", "trim", "blend", "shift", "probe")
FIELDS = ("amount", "weight", "price", "score", "delay", "volume")
TROUBLES = (
    "empty list", "negative {f}", "missing {f}", "{f} above the limit", "duplicate entries", "overflow of {f}",
    "rounding of {f}", "wrong order of entries",
)  # fmt: skip
NOISE = (  # message, path, author
    ("docs: explain plan {n}", "docs/plans.md", "Ada <ada@example.org>"),
    ("Fix typo in the guide", "docs/guide.md", "Ben <ben@example.org>"),
    ("fix(deps): bump left-shelf from 1.{n} to 1.{n}.1", "requirements.txt", "bumper[bot] <bot@example.org>"),
    ("fix: flaky test of the totals", "tests/test_totals.py", "Cid <cid@example.org>"),
    ("feat: support plan {n}", "src/plans.py", "Ada <ada@example.org>"),
)
AUTHORS = ("Ada <ada@example.org>", "Ben <ben@example.org>", "Cid <cid@example.org>", "Dee <dee@example.org>")


@dataclass(frozen=True)
class Story:
    """How many functions there are, and how often which of them are fixed."""

    name: str
    files: int
    hot: int  # functions fixed `fixes_each` times in the training window
    fixes_each: int
    once: int  # further functions fixed once in the training window
    fixed_later: int  # functions fixed once in the horizon

    @property
    def functions(self) -> int:
        return self.files * FUNCTIONS_A_FILE

    @property
    def density(self) -> float:
        """What a screening must find: y = min(1, c / S), S = mean of the ten largest credits, at least 1."""
        credits_ = [CREDIT_OF_A_FIX * self.fixes_each] * self.hot + [CREDIT_OF_A_FIX] * self.once
        scale = max(1.0, sum(sorted(credits_, reverse=True)[:10]) / 10)
        return sum(min(1.0, c / scale) for c in credits_) / self.functions


@dataclass
class _Function:
    name: str
    measure: str
    factor: int
    guards: list[int] = field(default_factory=list)

    def mend(self, number: int) -> None:
        """Change one line or add two, never the same twice."""
        if number % 2:
            self.factor = 1_000 + number
        else:
            self.guards.append(number)

    def python(self) -> str:
        guards = "".join(f"    if len(items) == {n}:\n        return {n % 7}\n" for n in self.guards)
        return (
            f"def {self.name}(items, limit):\n{guards}    found = 0\n    for item in items:\n"
            f"        if item.{self.measure} > limit:\n            found += item.{self.measure} * {self.factor}\n"
            f"    return found\n"
        )

    def typescript(self) -> str:
        guards = "".join(f"  if (items.length === {n}) {{\n    return {n % 7};\n  }}\n" for n in self.guards)
        return (
            f"export function {self.name}(items: Item[], limit: number): number {{\n{guards}  let found = 0;\n"
            f"  for (const item of items) {{\n    if (item.{self.measure} > limit) {{\n"
            f"      found += item.{self.measure} * {self.factor};\n    }}\n  }}\n  return found;\n}}\n"
        )


@dataclass
class _File:
    path: str
    functions: list[_Function]

    def text(self) -> str:
        if self.path.endswith(".py"):
            return "\n\n".join(function.python() for function in self.functions)
        return 'import { Item } from "./item";\n\n' + "\n".join(function.typescript() for function in self.functions)


@dataclass(frozen=True, order=True)
class _Event:
    day: float
    file: int  # or ARRIVAL or NOISE_EVENT
    function: int = 0  # of an arrival: its first file


def build(story: Story) -> History:
    """The whole history of `story`: about `files / 4 + fixes + 450` commits, one in seven fixes through a merge."""
    chance = random.Random(story.name)
    files = [_file(number, chance) for number in range(story.files)]
    history = History()
    history.commit("start", {"README.md": "# A shop\n"}, day=0)
    for number, event in enumerate(sorted(_events(story, chance)), start=1):
        author = chance.choice(AUTHORS)
        if event.file == ARRIVAL:
            _arrive(history, files[event.function : event.function + FILES_A_COMMIT], event.day)
        elif event.file == NOISE_EVENT:
            noise(history, event.day, number)
        else:
            _fix(history, files[event.file], event, number, author)
    history.commit("docs: how to add a plan", {"docs/guide.md": "# Guide\n\nThe end.\n"}, day=LAST_DAY)
    return history


def write_all(stories: tuple[Story, ...], root: Path) -> None:
    """One bare repository a story under `root`: `root/NAME.git`."""
    for story in stories:
        build(story).write(root / f"{story.name}.git")


def _file(number: int, chance: random.Random) -> _File:
    domain, layer = DOMAINS[number % 10], LAYERS[number // 10 % 10]
    path = f"src/{domain}/{layer}{number // 100 or ''}{'.ts' if number % 3 == 2 else '.py'}"
    functions = [
        _Function(f"{verb}_{domain}_{chance.choice(FIELDS)}", chance.choice(FIELDS), chance.randint(2, 99))
        for verb in VERBS[:FUNCTIONS_A_FILE]
    ]
    return _File(path, functions)


def _arrive(history: History, batch: list[_File], day: float) -> None:
    new: dict[str | bytes, str | bytes | None] = {file.path: file.text() for file in batch}
    history.commit(f"feat: add {batch[0].path}", new, day=day)


def _events(story: Story, chance: random.Random) -> Iterator[_Event]:
    for first in range(0, story.files, FILES_A_COMMIT):
        yield _Event((first + 1) * BORN_BY_DAY / (story.files + 1), ARRIVAL, first)
    everything = [(i, j) for i in range(story.files) for j in range(FUNCTIONS_A_FILE)]
    fixed = chance.sample(everything, story.hot + story.once)
    for rank, (i, j) in enumerate(fixed):
        for _ in range(story.fixes_each if rank < story.hot else 1):
            yield _Event(chance.uniform(*TRAINING_DAYS), i, j)
    for i, j in chance.sample(everything, story.fixed_later):
        yield _Event(chance.uniform(*HORIZON_DAYS), i, j)
    for day in range(2, LAST_DAY - 1, NOISE_EVERY_DAYS):
        yield _Event(float(day), NOISE_EVENT)


def noise(history: History, day: float, number: int) -> None:
    """A commit that touches no function."""
    message, path, author = NOISE[number % len(NOISE)]
    history.commit(message.format(n=number), {path: f"# plan = {number}\n"}, day=day, author=author)


def _fix(history: History, file: _File, event: _Event, number: int, author: str) -> None:
    function = file.functions[event.function]
    function.mend(number)
    trouble = TROUBLES[number % len(TROUBLES)].format(f=function.measure)
    message = f"fix: {trouble} in {function.name} (#{number})" if number % 3 else f"Fix {trouble} in {function.name}"
    change: dict[str | bytes, str | bytes | None] = {file.path: file.text()}
    if number % 7:
        history.commit(message, change, day=event.day, author=author)
        return
    tip = history.tips["main"]
    side = history.commit(message, change, day=event.day - 0.001, parents=[tip], branch="work", author=author)
    history.merge(f"Merge pull request #{number}", tip, side, change, day=event.day, author=author)
