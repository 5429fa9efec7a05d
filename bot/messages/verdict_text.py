"""The verdict in words, wherever a message quotes it."""

from __future__ import annotations

from typing import Final

from pipeline.screening.measurement import Judgement, Measurement

_NOT_JUDGED: Final = "a run could not be judged (SKIP)"


def verdict_words(measurement: Measurement, judgement: Judgement) -> str:
    """Return the words of a verdict, such as "worth trying (RUN)".

    A density that reaches the threshold was measured, so "cannot be measured" would contradict it: what is missing
    there is data to judge a run by.
    """
    density = measurement.density
    if not judgement.measurable and density is not None and density.value >= judgement.threshold.value:
        return _NOT_JUDGED
    return judgement.words
