"""Synthetic screenings for tests: deterministic and overridable by field.

screening()                                   a plain RUN over 40 functions
screening(verdict=verdict("SKIP"), density=None)
screening(mined=mined(repo="<script>"))
"""

from __future__ import annotations

import dataclasses
from typing import Any

from pipeline.label_recipe import MESSAGES
from pipeline.records import (
    DAY_S,
    CountedFix,
    Density,
    Diagnosis,
    Evidence,
    ExcludedFolder,
    ExcludedGroup,
    FunctionHistory,
    IssueLabels,
    Mined,
    Screening,
    SourceFiles,
    Standing,
    Threshold,
    Verdict,
    Windows,
)

AS_OF = 1_700_000_000  # 2023-11-14T22:13:20Z
HEAD = "5ca1ab1e" * 5


def windows(**changes: Any) -> Windows:
    """The default windows of a ten-year history."""
    usual = Windows(
        train_start=AS_OF - 1_095 * DAY_S,
        eval_start=AS_OF - 365 * DAY_S,
        as_of=AS_OF,
        window_days=730.0,
        horizon_days=365.0,
        history_days=3_650.0,
        too_little_history=False,
        shortened=False,
    )
    return dataclasses.replace(usual, **changes)


def function(index: int = 0, **changes: Any) -> FunctionHistory:
    usual = FunctionHistory(
        path=f"src/part_{index % 7}/module_{index % 5}.py",
        qualified_name=f"Class{index % 3}.method_{index}",
        ordinal=0,
        language="python",
        start_line=10 + 12 * index,
        end_line=18 + 13 * index,
        blob=f"{index:040x}",
        credit=0.0,
        fixes=0,
        touches=0,
    )
    return dataclasses.replace(usual, **changes)


def functions(amount: int = 40, every: int = 4) -> tuple[FunctionHistory, ...]:
    """`amount` functions, of which every `every`-th has credit, in a few sizes."""
    fixed = range(0, amount, every)
    return tuple(
        function(i, credit=round(0.7 * (1 + i % 5), 2), fixes=1 + i % 5, touches=2 + i % 7)
        if i in fixed
        else function(i)
        for i in range(amount)
    )


def counted_fix(index: int = 0, **changes: Any) -> CountedFix:
    usual = CountedFix(
        sha=f"{index + 1:08x}" + "c0ffee" * 5 + "00",
        landing=f"{index + 1:08x}" + "1a9d" * 8,
        landed_at=AS_OF - 1_095 * DAY_S + (index * 37 % 730) * DAY_S + 3_600,
        subject=f"fix(part): keep state {index} when the queue is empty",
        evidence=Evidence("prefix", 0.7) if index % 3 else Evidence("keyword", 0.7),
        functions=tuple(f"src/part_{index % 7}/module.py::Class.method_{index + j}" for j in range(1 + index % 4)),
        credit_each=0.7 / (1 + index % 4) ** 0.5,
    )
    return dataclasses.replace(usual, **changes)


def counted_fixes(amount: int = 12) -> tuple[CountedFix, ...]:
    return tuple(sorted((counted_fix(i) for i in range(amount)), key=lambda fix: fix.landed_at))


def source_files(**changes: Any) -> SourceFiles:
    usual = SourceFiles(
        read=35,
        excluded=(("test", 40), ("vendored", 9)),
        folders=(
            ExcludedFolder("tests/", "test", 38),
            ExcludedFolder("third_party/", "vendored", 9),
            ExcludedFolder("src/part_0/", "test", 2),
        ),
        unread=((".sh", 3),),
    )
    return dataclasses.replace(usual, **changes)


def mined(**changes: Any) -> Mined:
    usual = Mined(
        repo="example/project",
        head_sha=HEAD,
        windows=windows(),
        commits=4_321,
        landings=1_234,
        window_commits=987,
        fix_commits=87,
        train=functions(),
        holdout=functions(50, every=5),
        credit_by_kind=(("keyword", 5.25), ("prefix", 15.75)),
        fix_files=frozenset({"src/part_0/module_0.py"}),
        counted=counted_fixes(),
        excluded=(
            ExcludedGroup("tests only", 21, (("ab" * 20, "fix: flaky test"), ("cd" * 20, "fix the other test"))),
            ExcludedGroup("more than 20 source files", 2, (("ef" * 20, "fix licence headers"),)),
        ),
        notes=("12 objects missing: 9 pairs left out",),
        files=source_files(),
    )
    return dataclasses.replace(usual, **changes)


def density(**changes: Any) -> Density:
    usual = Density(
        value=0.0593,
        low=0.0521,
        high=0.0672,
        pairs=40,
        positives=10,
        positive_share=0.25,
        file_positive_share=0.6,
        scale=2.1,
        curve="relative",
    )
    return dataclasses.replace(usual, **changes)


def diagnosis(**changes: Any) -> Diagnosis:
    usual = Diagnosis(
        credited=12, keyword_alone=4, effective_positives=8.5, inflation=2.4, issues=IssueLabels(340, 312, 12)
    )
    return dataclasses.replace(usual, **changes)


def threshold(**changes: Any) -> Threshold:
    usual = Threshold(value=0.0412, band_low=0.035, band_high=0.0474, source="seed", separable=True)
    return dataclasses.replace(usual, **changes)


def standing(**changes: Any) -> Standing:
    usual = Standing(
        outcomes=5,
        published=4,
        measured=1,
        leave_one_out=0.8,
        winners=(("ore/rich", 0.31), ("ore/plain", 0.0931), ("ore/barely", 0.0467)),
        losers=(("rock/nearly", 0.0357), ("rock/bare", 0.0042)),
        counterexamples=(),
    )
    return dataclasses.replace(usual, **changes)


def verdict(word: str = "RUN", **changes: Any) -> Verdict:
    """A plain RUN or SKIP."""
    words = {"RUN": "worth trying (RUN)", "SKIP": "not worth it (SKIP): use the ranking"}
    usual = Verdict(
        verdict="RUN" if word == "RUN" else "SKIP",
        words=words[word],
        measurable=True,
        near_boundary=False,
        reasons=("density 0.0593 is above the threshold 0.0412",),
    )
    return dataclasses.replace(usual, **changes)


def screening(**changes: Any) -> Screening:
    usual = Screening(
        mined=mined(),
        density=density(),
        evidence={"keyword": 0.25, "prefix": 0.75},
        threshold=threshold(),
        standing=standing(),
        verdict=verdict(),
        label_recipe_id=MESSAGES.id,
        config_hash="",
        seconds=4.25,
        peak_rss_mb=131.4,
        diagnosis=diagnosis(),
        evidence_note="By messages alone.",
    )
    return dataclasses.replace(usual, **changes)
