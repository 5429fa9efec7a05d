"""A made-up repository in which trouble lies in the code: what is done carelessly is fixed, again and again.

A third of its functions do something the careless way (demo_code.py). Of those every second one was fixed in the
training window, and in the horizon again some of them and some others; of the careful ones hardly any. Features change
functions of either kind alike, and some come late, so that size and activity tell little.

With `dealt` as many fixes, on the same days, befall functions dealt at random, the same ones before and after: then the
code tells nothing, and the past tells as much as before.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from tests.builders.demo_code import WAYS, Function, make_function
from tests.builders.demo_histories import (
    AUTHORS,
    BORN_BY_DAY,
    CREDIT_OF_A_FIX,
    DOMAINS,
    FILES_A_COMMIT,
    FUNCTIONS_A_FILE,
    HORIZON_DAYS,
    LAST_DAY,
    LAYERS,
    NOISE_EVERY_DAYS,
    TRAINING_DAYS,
    TROUBLES,
    noise,
)
from tests.builders.history import History

EARLIER_DAYS = (BORN_BY_DAY + 10, TRAINING_DAYS[0] - 20)
Place = tuple[int, int]  # file, function in it
Change = dict[str | bytes, str | bytes | None]


@dataclass(frozen=True)
class CarelessStory:
    """How many functions there are, and how often which of them are fixed."""

    name: str
    files: int
    late_files: int  # of them: born in the training window
    careless: float  # share of the functions
    earlier: int  # careless functions fixed once before the training window
    twice: int  # careless functions fixed twice in the training window
    once: int  # further ones fixed once
    unlucky: int  # careful functions fixed once in the training window, and as many in the horizon
    again: int  # of the careless ones fixed in the training window: fixed once more in the horizon
    anew: int  # other careless functions fixed once in the horizon
    features: int  # commits that change some functions and fix nothing
    dealt: int | None = None  # a deal; none: the careless functions are those that are fixed

    @property
    def pairs(self) -> int:
        return (self.files - self.late_files) * FUNCTIONS_A_FILE

    @property
    def functions(self) -> int:
        return self.files * FUNCTIONS_A_FILE

    @property
    def density(self) -> float:
        """What a screening must find: y = min(1, c / S), S = mean of the ten largest credits, at least 1."""
        credits_ = [2 * CREDIT_OF_A_FIX] * self.twice + [CREDIT_OF_A_FIX] * (self.once + self.unlucky)
        scale = max(1.0, sum(sorted(credits_, reverse=True)[:10]) / 10)
        return sum(min(1.0, c / scale) for c in credits_) / self.pairs


BUSY = CarelessStory(
    "busy-checkout",
    files=100,
    late_files=8,
    careless=1 / 3,
    earlier=160,
    twice=110,
    once=90,
    unlucky=12,
    again=130,
    anew=100,
    features=250,
)


@dataclass(frozen=True, order=True)
class _Event:
    day: float
    kind: str  # "arrival", "feature", "fix" or "noise"
    places: tuple[Place, ...] = ()


@dataclass
class _File:
    path: str
    functions: list[Function]

    def text(self) -> str:
        if self.path.endswith(".py"):
            return "\n\n".join(function.python() for function in self.functions)
        return "\n".join(function.typescript() for function in self.functions)


def build(story: CarelessStory) -> History:
    """The whole history of `story`, one in seven fixes through a merge."""
    chance = random.Random(story.name)
    files = _files(story, chance)
    events = [*_fixes(story, files, chance), *_other_events(story, chance)]
    history = History()
    history.commit("start", {"README.md": "# A market\n"}, day=0)
    for number, event in enumerate(sorted(events), start=1):
        author = chance.choice(AUTHORS)
        if event.kind == "noise":
            noise(history, event.day, number)
            continue
        if event.kind != "arrival":
            for file, function in event.places:
                files[file].functions[function].mend(number)
        changed: Change = {files[file].path: files[file].text() for file, _ in event.places}
        if event.kind == "fix":
            _fix(history, files[event.places[0][0]].functions[event.places[0][1]], changed, event.day, number, author)
        else:
            history.commit(f"feat: plan {number}", changed, day=event.day, author=author)
    history.commit("docs: how to add a plan", {"docs/guide.md": "# Guide\n\nThe end.\n"}, day=LAST_DAY)
    return history


def kinds_of(history: History) -> dict[str, bool]:
    """Whether each function does something carelessly, by its name, as the code says in the end."""
    careless = [f"{whom}.{way}(" for whom, way, _ in WAYS]
    heads = {str(path): str(text) for c in history.commits for path, text in c.files.items() if "src" in str(path)}
    functions = [part for text in heads.values() for part in text.replace("export function ", "def ").split("def ")[1:]]
    return {part.partition("(")[0]: any(way in part for way in careless) for part in functions}


def _files(story: CarelessStory, chance: random.Random) -> list[_File]:
    """Exactly the share of careless functions, early and late."""
    early, names = story.files - story.late_files, set[str]()
    kinds = _dealt(early * FUNCTIONS_A_FILE, story.careless, chance)
    kinds += _dealt(story.late_files * FUNCTIONS_A_FILE, story.careless, chance)
    functions = [make_function(careless, chance, names) for careless in kinds]
    return [
        _File(_path(number), functions[number * FUNCTIONS_A_FILE : (number + 1) * FUNCTIONS_A_FILE])
        for number in range(story.files)
    ]


def _dealt(count: int, share: float, chance: random.Random) -> list[bool]:
    kinds = [number < round(share * count) for number in range(count)]
    chance.shuffle(kinds)
    return kinds


def _path(number: int) -> str:
    domain, layer = DOMAINS[number % 10], LAYERS[number // 10 % 10]
    return f"src/{domain}/{layer}{number // 100 or ''}{'.ts' if number % 3 == 2 else '.py'}"


def _fixes(story: CarelessStory, files: list[_File], chance: random.Random) -> Iterator[_Event]:
    early = story.files - story.late_files
    places = [(i, j) for i in range(story.files) for j in range(FUNCTIONS_A_FILE)]
    careless = [(i, j) for i, j in places if files[i].functions[j].careless]
    careful = [(i, j) for i, j in places if not files[i].functions[j].careless]
    earlier = chance.sample([place for place in careless if place[0] < early], story.earlier)
    first = chance.sample([place for place in careless if place[0] < early], story.twice + story.once)
    second = first[: story.twice] + chance.sample([place for place in careful if place[0] < early], story.unlucky)
    later = chance.sample(first, story.again) + chance.sample(sorted({*careless} - {*first}), story.anew)
    later += chance.sample(careful, story.unlucky)
    befalls = _deal(story, places)
    for days, sufferers in ((EARLIER_DAYS, earlier), (TRAINING_DAYS, first + second), (HORIZON_DAYS, later)):
        for place in sufferers:
            yield _Event(chance.uniform(*days), "fix", (befalls[place],))


def _deal(story: CarelessStory, places: list[Place]) -> dict[Place, Place]:
    """Whom a fix befalls: the function that it was meant for, or always the same other one, as old as that."""
    if story.dealt is None:
        return {place: place for place in places}
    early = (story.files - story.late_files) * FUNCTIONS_A_FILE
    chance = random.Random(story.dealt)
    others = [*chance.sample(places[:early], early), *chance.sample(places[early:], len(places) - early)]
    return dict(zip(places, others, strict=True))


def _other_events(story: CarelessStory, chance: random.Random) -> Iterator[_Event]:
    early = story.files - story.late_files
    for first in range(0, early, FILES_A_COMMIT):
        batch = tuple((file, 0) for file in range(first, min(first + FILES_A_COMMIT, early)))
        yield _Event((first + 1) * BORN_BY_DAY / (early + 1), "arrival", batch)
    for file in range(early, story.files):
        yield _Event(chance.uniform(*TRAINING_DAYS), "arrival", ((file, 0),))
    for _ in range(story.features):
        places = ((file, chance.randrange(FUNCTIONS_A_FILE)) for file in chance.sample(range(early), 3))
        yield _Event(chance.uniform(BORN_BY_DAY, LAST_DAY - 1), "feature", tuple(places))
    for day in range(2, LAST_DAY - 1, NOISE_EVERY_DAYS):
        yield _Event(float(day), "noise")


def _fix(history: History, function: Function, changed: Change, day: float, number: int, author: str) -> None:
    trouble = TROUBLES[number % len(TROUBLES)].format(f=function.about[0])
    message = f"fix: {trouble} in {function.name} (#{number})" if number % 3 else f"Fix {trouble} in {function.name}"
    if number % 7:
        history.commit(message, changed, day=day, author=author)
        return
    tip = history.tips["main"]
    side = history.commit(message, changed, day=day - 0.001, parents=[tip], branch="work", author=author)
    history.merge(f"Merge pull request #{number}", tip, side, changed, day=day, author=author)
