from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.finetuning.batches import MAX_PADDING, Members, micro_batches, padded_tokens, plan_steps
from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.ranking.bootstrap import Floats
from pipeline.records import AssayError

ONE_EPOCH = FinetuneRecipe(epochs=1)


def functions(count: int, positives: float, *, seed: int = 0) -> tuple[list[int], Floats]:
    """Lengths like those of real functions (median 150, none over 1,024); longer ones have a signal more often."""
    random = np.random.default_rng(seed)
    lengths = np.clip(np.exp(random.normal(np.log(150), 0.8, count)), 20, 1_024).astype(int)
    has_signal = random.random(count) < positives * lengths / lengths.mean()
    return lengths.tolist(), np.where(has_signal, random.uniform(0.01, 1, count), 0.0)


def flat(steps: tuple[Members, ...]) -> list[int]:
    return [member for step in steps for member in step]


sizes = st.integers(1, 120)
shares = st.floats(0.02, 1)


@settings(deadline=None)
@given(sizes, shares, st.integers(2, 40), st.integers(0, 5))
def test_each_positive_is_in_one_step_of_an_epoch_and_no_function_in_two(
    count: int, share: float, batch_size: int, seed: int
) -> None:
    lengths, targets = functions(count, share, seed=seed)
    targets[0] = 1.0
    members = flat(plan_steps(lengths, targets, FinetuneRecipe(epochs=1, batch_size=batch_size), seed))
    assert len(members) == len(set(members))
    assert set(np.flatnonzero(targets > 0)) <= set(members)


@settings(deadline=None)
@given(sizes, shares, st.integers(4, 40), st.integers(0, 5))
def test_a_step_is_never_too_large_and_never_has_too_small_a_share_of_positives(
    count: int, share: float, batch_size: int, seed: int
) -> None:
    lengths, targets = functions(count, share, seed=seed)
    targets[0] = 1.0
    recipe = FinetuneRecipe(batch_size=batch_size)
    too_many = (targets > 0).mean() > recipe.most_positives
    for step in plan_steps(lengths, targets, recipe, seed):
        positives = sum(targets[member] > 0 for member in step)
        assert 1 <= len(step) <= batch_size
        assert positives >= recipe.least_positives * len(step) - 1e-9
        # Where whole numbers do not come out even, one more than half.
        assert too_many or positives <= recipe.most_positives * len(step) + 1


def test_rare_positives_are_30_percent_of_a_step() -> None:
    lengths, targets = functions(3_000, 0.1)
    steps = plan_steps(lengths, targets, ONE_EPOCH, seed=1)
    positives = np.array([(targets[list(step)] > 0).sum() for step in steps])
    assert set(positives) == {9, 10}
    assert {len(step) for step in steps} <= {30, 31, 32}
    assert (positives / [len(step) for step in steps]).min() >= 0.3


def test_frequent_positives_leave_no_function_out() -> None:
    lengths, targets = functions(960, 0.4)
    assert 0.3 < (targets > 0).mean() < 0.5
    assert sorted(flat(plan_steps(lengths, targets, ONE_EPOCH, seed=1))) == list(range(960))


def test_too_frequent_positives_leave_no_function_out() -> None:
    assert sorted(flat(plan_steps([10] * 70, np.ones(70), ONE_EPOCH, seed=1))) == list(range(70))


def test_negatives_are_drawn_anew_until_all_have_been_used() -> None:
    lengths, targets = functions(1_000, 0.15)
    negatives = set(np.flatnonzero(targets == 0))
    once = set(flat(plan_steps(lengths, targets, ONE_EPOCH, seed=1))) & negatives
    thrice = set(flat(plan_steps(lengths, targets, FinetuneRecipe(epochs=3), seed=1))) & negatives
    assert len(thrice) == min(len(negatives), 3 * len(once))
    assert len(once) < len(negatives)


def test_the_plan_depends_on_the_seed_alone() -> None:
    lengths, targets = functions(300, 0.2)
    one, again, other = (plan_steps(lengths, targets, ONE_EPOCH, seed) for seed in (1, 1, 2))
    assert one == again != other


def test_fewer_steps_are_the_first_ones_and_more_steps_add_epochs() -> None:
    lengths, targets = functions(300, 0.2)
    whole = plan_steps(lengths, targets, FinetuneRecipe(epochs=2), seed=1)
    assert plan_steps(lengths, targets, ONE_EPOCH, seed=1, steps=3) == whole[:3]
    assert plan_steps(lengths, targets, ONE_EPOCH, seed=1, steps=len(whole)) == whole


def test_the_positives_of_a_step_meet_negatives_of_every_length() -> None:
    lengths, targets = functions(3_000, 0.1)
    steps = plan_steps(lengths, targets, FinetuneRecipe(epochs=3), seed=1)
    means = [
        [np.mean([lengths[m] for m in step if (targets[m] > 0) == kind]) for kind in (True, False)] for step in steps
    ]
    assert abs(np.corrcoef(np.log(means).T)[0, 1]) < 0.3


@pytest.mark.parametrize("targets", [np.zeros(50), np.zeros(0)])
def test_nothing_to_learn_from_is_an_error(targets: Floats) -> None:
    with pytest.raises(AssayError, match="too few pairs"):
        plan_steps([10] * len(targets), targets, ONE_EPOCH, seed=1)


@settings(deadline=None)
@given(st.lists(st.integers(1, 1_024), min_size=1, max_size=64), st.integers(32, 20_000))
def test_micro_batches_respect_their_limits(lengths: list[int], max_tokens: int) -> None:
    pieces = micro_batches(tuple(range(len(lengths))), lengths, max_tokens)
    assert sorted(member for piece in pieces for member in piece) == list(range(len(lengths)))
    for piece in pieces:
        computed = padded_tokens(piece, lengths)
        assert len(piece) == 1 or computed <= max_tokens
        assert computed - sum(lengths[member] for member in piece) <= MAX_PADDING * computed


def test_micro_batches_by_hand() -> None:
    lengths = [100, 95, 10, 10, 9, 100]
    assert micro_batches((0, 1, 2, 3, 4, 5), lengths, 1_000) == ((4, 2, 3), (1, 0, 5))
    assert micro_batches((0, 1, 2, 3, 4, 5), lengths, 200) == ((4, 2, 3), (1,), (0, 5))
    assert micro_batches((0, 5), lengths, 50) == ((0,), (5,))


@pytest.mark.parametrize("positives", [0.05, 0.1, 0.3, 0.6])
def test_real_lengths_are_padded_by_less_than_a_tenth_in_a_few_large_pieces(positives: float) -> None:
    lengths, targets = functions(3_000, positives)
    steps = plan_steps(lengths, targets, FinetuneRecipe(), seed=1)
    pieces = [piece for step in steps for piece in micro_batches(step, lengths, 16_384)]
    computed = sum(padded_tokens(piece, lengths) for piece in pieces)
    assert 1 - sum(lengths[member] for piece in pieces for member in piece) / computed < 0.08
    assert len(pieces) / len(steps) < 3.5
