"""Fixes in files that a grammar alone would misread, and what the first version of the label rules made of them."""

from __future__ import annotations

from pathlib import Path

from pipeline.label_recipe import MESSAGES, MESSAGES_1
from pipeline.mining.facts.codec import decode, encode
from pipeline.mining.facts.compute import ChangeFact, ChangeRequest
from tests.builders.history import History
from tests.pipeline.mining.mined import credits_of, measure_history, reasons_of

PRODUCT = "pub fn weigh(text: &str) -> usize {\n    let n = text.len();\n    n + 4\n}\n"
TESTS = "#[cfg(test)]\nmod tests {\n    #[test]\n    fn weighs() {\n        assert_eq!(weigh(3), 7);\n    }\n}\n"
CALLS = "DEFINE(Archive, mount)\n{\n\treturn take();\n}\n\nDEFINE(Archive, close)\n{\n\treturn give();\n}\n"
HEADER = "namespace tiny {\nclass API list {\n  int at(int i) {\n    return items[i];\n  }\n};\n}\n"


def fixed(path: str, before: str, after: str) -> History:
    history = History()
    history.commit("start", {path: before}, day=0)
    history.commit("fix: it", {path: after}, day=1000)
    history.commit("head", {"README": "x"}, day=2000)
    return history


def test_a_fix_of_tests_within_a_file_is_no_fix() -> None:
    history = fixed("src/lib.rs", PRODUCT + TESTS, PRODUCT + TESTS.replace("(3), 7", "(4), 8"))
    assert reasons_of(measure_history(history).mined) == {"changes tests only": 1}
    assert credits_of(measure_history(history, recipe=MESSAGES_1).mined) == {"src/lib.rs::tests.weighs": 0.7}


def test_a_fix_of_the_product_and_its_tests_credits_the_product() -> None:
    after = PRODUCT.replace("4", "5") + TESTS.replace("(3), 7", "(4), 8")
    mined = measure_history(fixed("src/lib.rs", PRODUCT + TESTS, after)).mined
    assert credits_of(mined) == {"src/lib.rs::weigh": 0.7}


def test_a_function_behind_a_macro_gets_its_own_credit() -> None:
    for path in ("src/a.c", "src/a.cpp"):
        mined = measure_history(fixed(path, CALLS, CALLS.replace("give()", "give() + 1"))).mined
        assert credits_of(mined) == {f"{path}::DEFINE.Archive.close": 0.7}


def test_a_method_in_a_header_of_cpp_gets_its_credit() -> None:
    history = fixed("include/list.h", HEADER, HEADER.replace("items[i]", "items[i + 1]"))
    assert credits_of(measure_history(history).mined) == {"include/list.h::tiny.list.at": 0.7}


def test_warm_and_cold_runs_of_shadowed_files_agree(tmp_path: Path) -> None:
    history = fixed("include/list.h", HEADER, HEADER.replace("items[i]", "items[i + 1]"))
    cold = measure_history(history, data_dir=tmp_path)
    assert measure_history(history, data_dir=tmp_path).density == cold.density == measure_history(history).density


def test_what_only_tests_changed_survives_the_fact_store() -> None:
    request = ChangeRequest(b"\1" * 20, b"\2" * 20, b"a.rs", b"a.rs", code=True)
    for code, only_tests in ((False, True), (False, False), (True, False), (None, False)):
        fact = ChangeFact((), (), (), b"x", code, only_tests=only_tests)
        assert decode(request, encode(fact)) == fact
    assert MESSAGES.facts_id != MESSAGES_1.facts_id
