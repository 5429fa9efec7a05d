"""Which files are product code, through the whole of mining: versions, cached facts, and a head that moves on."""

from __future__ import annotations

from pathlib import Path

from pipeline.classify.overlay import Overlay
from pipeline.git.repository import open_repository
from pipeline.label_recipe import MESSAGES, MESSAGES_1
from pipeline.screening.measure import Measured, measure
from tests.builders.code import module
from tests.builders.history import History
from tests.pipeline.mining.mined import credits_of

BEFORE, AFTER = module("1", "1"), module("2", "1")


def grown(*, product: bool) -> History:
    """A repository whose only code is in `demo/`, beside which a product may appear at the end."""
    history = History()
    history.commit("start", {"demo/a.py": BEFORE, "demo/b.py": module("1")}, day=0)
    history.commit("move", {"demo/c.py": BEFORE, "demo/a.py": None}, day=650)
    history.commit("fix: sums", {"demo/c.py": AFTER}, day=700)
    history.commit("head", {"README": "x"}, day=1643)
    if product:
        history.commit("product", {f"src/m{n}.py": module("1") for n in range(25)}, day=1644)
    return history


def summary(measured: Measured) -> object:
    return measured.density, credits_of(measured.mined), measured.mined.files, measured.held_out


def test_a_head_that_changes_what_is_product_code_measures_as_one_mined_in_one_go(tmp_path: Path) -> None:
    young = open_repository(grown(product=False).write(tmp_path / "young.git"))
    old = open_repository(grown(product=True).write(tmp_path / "old.git"))
    cache = tmp_path / "cache"
    assert measure(young, MESSAGES, data_dir=cache).density is not None
    [facts] = (cache / "facts").iterdir()
    cold = measure(old, MESSAGES, data_dir=tmp_path / "cold")
    [unused] = (tmp_path / "cold" / "facts").iterdir()
    facts.rename(facts.with_name(unused.name))
    warm = measure(old, MESSAGES, data_dir=cache)
    assert summary(warm) == summary(cold)
    assert cold.mined.files is not None
    assert cold.mined.files.excluded == (("documentation", 2),)


def test_facts_cached_under_other_rules_for_paths_do_not_matter(tmp_path: Path) -> None:
    """A renamed file of which the configuration leaves out the old name was born under the new one."""
    history = History()
    history.commit("start", {"a.py": BEFORE, "c.py": module("1", "2", "3")}, day=0)
    history.commit("fix: move", {"a.py": None, "c.py": None, "b.py": AFTER}, day=700)
    history.commit("fix: more", {"b.py": module("2", "2")}, day=720)
    history.commit("head", {"README": "x"}, day=1643)
    repository = open_repository(history.write(tmp_path / "renamed.git"))
    without_a = Overlay(exclude=("a.py",))
    cold = measure(repository, MESSAGES, overlay=without_a)
    measure(repository, MESSAGES, data_dir=tmp_path)
    assert summary(measure(repository, MESSAGES, data_dir=tmp_path, overlay=without_a)) == summary(cold)


def test_version_1_of_the_rules_reads_what_it_read(tmp_path: Path) -> None:
    history = History()
    code = dict.fromkeys(("app.py", "cookbook/views.py", "growth/ab_test.py"), BEFORE)
    generated = "import { Generated } from 'typeorm'\nclass A {\n  @Generated()\n  run() {\n    return 1\n  }\n}\n"
    script = "function run(a) {\n  var b = a\n  return b\n}\n"
    history.commit("start", {**code, "a.ts": generated, "public/js/jquery-1.12.4.js": script}, day=0)
    history.commit("head", {"README": "x"}, day=1643)
    repository = open_repository(history.write(tmp_path / "both.git"))
    read = [{f.path for f in measure(repository, recipe).mined.holdout} for recipe in (MESSAGES_1, MESSAGES)]
    assert read == [
        {"app.py", "public/js/jquery-1.12.4.js"},
        {"app.py", "cookbook/views.py", "growth/ab_test.py", "a.ts"},
    ]


def test_the_configuration_overrules_what_the_head_says(tmp_path: Path) -> None:
    history = grown(product=False)
    repository = open_repository(history.write(tmp_path / "demo.git"))
    assert {f.path for f in measure(repository, MESSAGES).mined.holdout} == {"demo/b.py", "demo/c.py"}
    measured = measure(repository, MESSAGES, overlay=Overlay(exclude=("demo/b.py",)))
    assert {f.path for f in measured.mined.holdout} == {"demo/c.py"}
    assert measured.mined.files is not None
    assert measured.mined.files.excluded == (("configuration", 1),)


def test_head_and_date_decide_together(tmp_path: Path) -> None:
    history = grown(product=True)
    repository = open_repository(history.write(tmp_path / "cut.git"))
    young = open_repository(grown(product=False).write(tmp_path / "young.git"))
    before = history.commits[-2].committed_at
    assert summary(measure(repository, MESSAGES, as_of=before)) == summary(measure(young, MESSAGES))
