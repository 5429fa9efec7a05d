from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import roc_auc_score

from pipeline.ranking.bootstrap import Floats, Presorted, cluster_weights, correlate, resample

few = st.sampled_from([0.0, 0.0, 0.0, 0.35, 0.7, 1.4])
rows = st.lists(st.tuples(st.integers(-5, 5).map(float), few, st.integers(0, 4)), min_size=2, max_size=40)


def columns(table: list[tuple[float, float, int]]) -> tuple[Floats, Floats, np.ndarray]:
    scores, labels, weights = zip(*table, strict=True)
    return np.array(scores), np.array(labels), np.array(weights)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=30))
def test_ranks_under_weights_are_those_of_the_replicated_values(table: list[tuple[int, int]]) -> None:
    values, weights = (np.array(column) for column in zip(*table, strict=True))
    ranks, squares = Presorted(values.astype(float)).centred_ranks(weights[None, :].astype(float))
    expected = rankdata(np.repeat(values, weights)) if weights.any() else np.empty(0)
    expected = expected - expected.mean() if len(expected) else expected
    assert np.repeat(ranks[0], weights) == pytest.approx(expected)
    assert squares[0] == pytest.approx((expected**2).sum())


@settings(max_examples=50, deadline=None)
@given(rows)
def test_weights_are_multiplicities(table: list[tuple[float, float, int]]) -> None:
    scores, labels, weights = columns(table)
    weighted = correlate([scores], labels, weights[None, :].astype(float))
    repeated = np.repeat(scores, weights), np.repeat(labels, weights)
    if len(repeated[0]) == 0:
        assert np.isnan(weighted.rho[0, 0])
        return
    plain = correlate([repeated[0]], repeated[1], np.ones((1, len(repeated[0]))))
    assert weighted.rho[0, 0] == pytest.approx(plain.rho[0, 0], nan_ok=True)
    assert weighted.auc[0, 0] == pytest.approx(plain.auc[0, 0], nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(rows)
def test_it_agrees_with_scipy_and_scikit_learn(table: list[tuple[float, float, int]]) -> None:
    scores, labels, _ = columns(table)
    got = correlate([scores], labels, np.ones((1, len(scores))))
    if len(set(scores)) > 1 and len(set(labels)) > 1:
        assert got.rho[0, 0] == pytest.approx(spearmanr(scores, labels).statistic, abs=1e-12)
    else:
        assert np.isnan(got.rho[0, 0])
    if 0 < np.count_nonzero(labels) < len(labels):
        assert got.auc[0, 0] == pytest.approx(roc_auc_score(labels > 0, scores), abs=1e-12)
    else:
        assert np.isnan(got.auc[0, 0])


def test_it_agrees_with_scipy_and_scikit_learn_on_large_inputs(subtests: pytest.Subtests) -> None:
    for seed in range(20):
        with subtests.test(seed=seed):
            random = np.random.default_rng(seed)
            n = int(random.integers(100, 3_000))
            scores = np.round(random.normal(size=n), int(random.integers(0, 6)))
            labels = np.where(random.random(n) < random.uniform(0.01, 0.5), np.round(random.random(n), 2), 0)
            got = correlate([scores], labels, np.ones((1, n)))
            assert got.rho[0, 0] == pytest.approx(spearmanr(scores, labels).statistic, abs=1e-10)
            assert got.auc[0, 0] == pytest.approx(roc_auc_score(labels > 0, scores), abs=1e-12)


def test_resamples_draw_as_many_whole_clusters_as_there_are() -> None:
    clusters = ["b", "a", "b", "c", "a", "b"]
    weights = np.concatenate(list(cluster_weights(clusters, 500, seed=1)))
    assert weights.shape == (500, 6)
    assert (weights[:, [0, 2, 5]] == weights[:, [0]]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, 0] + weights[:, 1] + weights[:, 3] == 3).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(6), abs=0.15)


def test_the_order_of_the_functions_does_not_matter() -> None:
    random = np.random.default_rng(3)
    clusters = [f"{i % 17}.py" for i in range(200)]
    scores, labels = random.normal(size=200), np.round(random.random(200), 1)
    shuffled = random.permutation(200)
    one = resample([scores], labels, clusters, resamples=50, seed=5)
    other = resample([scores[shuffled]], labels[shuffled], [clusters[i] for i in shuffled], resamples=50, seed=5)
    assert one.rho == pytest.approx(other.rho)
    assert one.auc == pytest.approx(other.auc)


def test_chunks_bound_memory_and_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    clusters = [str(i % 9) for i in range(50)]
    whole = np.concatenate(list(cluster_weights(clusters, 100, seed=2)))
    monkeypatch.setattr("pipeline.ranking.bootstrap._MAX_WEIGHTS_PER_CHUNK", 120)
    chunks = list(cluster_weights(clusters, 100, seed=2))
    assert {len(chunk) for chunk in chunks} == {2}
    assert (np.concatenate(chunks) == whole).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_a_seed_reproduces_the_resamples(seed: int) -> None:
    clusters = [str(i % 7) for i in range(30)]
    one, other = (np.concatenate(list(cluster_weights(clusters, 20, seed))) for _ in range(2))
    assert (one == other).all()


def test_a_thousand_resamples_of_five_thousand_functions_take_less_than_two_seconds() -> None:
    random = np.random.default_rng(1)
    labels = np.where(random.random(5_000) < 0.1, random.random(5_000), 0)
    scores = [random.normal(size=5_000) for _ in range(2)]
    started = time.process_time()
    drawn = resample(scores, labels, [str(i // 6) for i in range(5_000)], resamples=1_000, seed=1)
    assert time.process_time() - started < 2
    assert np.isfinite(drawn.rho).all()
