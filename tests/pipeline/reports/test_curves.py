from __future__ import annotations

import struct

import pytest

from pipeline.finetuning.result import Curve
from pipeline.reports.curves import COLOURS, render_curves, smoothed
from tests.builders import finetunings as build

pytestmark = pytest.mark.finetune


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return int(width), int(height)


def test_the_curves_are_a_png_large_enough_to_read() -> None:
    assert size(render_curves(build.result())) == (1320, 900)


def test_the_same_result_gives_the_same_picture() -> None:
    assert render_curves(build.result()) == render_curves(build.result())


def test_many_seeds_a_dollar_in_the_name_and_empty_curves_can_be_drawn() -> None:
    many = build.result(seeds=len(COLOURS) + 2, repo="a$b$c\x1b[31m")
    assert size(render_curves(many)) == (1320, 900)
    assert size(render_curves(build.result(runs=()))) == (1320, 900)


def test_a_long_curve_is_drawn_as_the_means_of_equal_stretches() -> None:
    cases: list[tuple[Curve, Curve]] = [
        ((), ()),
        (((1, 2.0),), ((1, 2.0),)),
        (tuple((step, 1.0) for step in range(1, 41)), tuple((step, 1.0) for step in range(1, 41))),
        (tuple((step, float(step)) for step in range(1, 81)), tuple((step, step - 0.5) for step in range(2, 81, 2))),
        (tuple((step, 3.0) for step in range(1, 42)), (*((step, 3.0) for step in range(2, 41, 2)), (41, 3.0))),
    ]
    wrong = [(curve, got, drawn) for curve, drawn in cases if (got := smoothed(curve)) != drawn]
    assert wrong == []
