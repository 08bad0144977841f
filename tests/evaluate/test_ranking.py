import numpy as np
import pytest
from scoresets import pairwise_auc
from sklearn.metrics import average_precision_score, roc_auc_score

from mmoe.evaluate.grouped import grouped_aucs, rank_in_groups
from mmoe.evaluate.ranking import cut, in_order, rank, sortable


@pytest.fixture(params=["plain", "ties", "weights", "float64", "not final"])
def sample(request):
    """scores, labels, weights, rows that count, codes of 5 segments (the fourth without positives, the fifth empty)."""
    rng = np.random.default_rng(11)
    scores = rng.normal(size=3000).astype(np.float32)
    codes = rng.integers(0, 4, 3000)
    labels = (rng.random(3000) < 1 / (1 + np.exp(1 - scores))).astype(np.float32)
    labels[codes == 3] = 0
    weights = rng.exponential(1, 3000).astype(np.float32) + 0.1 if request.param == "weights" else None
    if request.param == "ties":
        scores = np.round(scores, 1)
    if request.param == "float64":
        scores = scores.astype(np.float64)
    rows = np.flatnonzero(rng.random(3000) < 0.7) if request.param == "not final" else np.arange(3000)
    return scores, labels, weights, rows, codes


def each_segment(sample):
    scores, labels, weights, rows, codes = sample
    for segment in range(3):
        mine = rows[codes[rows] == segment]
        yield segment, labels[mine], scores[mine], None if weights is None else weights[mine]


def in_segments(sample):
    scores, labels, weights, rows, codes = sample
    return cut(rank(scores, labels, weights, rows), codes, 5)


def test_aucs_and_precisions_of_all_segments_equal_scikit_learns_of_each(sample):
    slices = in_segments(sample).slices
    aucs, precisions = np.array([(each.auc, each.average_precision) for each in slices]).T
    for segment, labels, scores, weights in each_segment(sample):
        assert aucs[segment] == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12)
        expected = average_precision_score(labels, scores, sample_weight=weights)
        assert precisions[segment] == pytest.approx(expected, abs=1e-9)
    assert np.isnan(aucs[3:]).all() and np.isnan(precisions[3:]).all()


def test_an_influence_is_what_a_row_more_would_move(sample):
    scores, labels, weights, rows, codes = sample
    segments = in_segments(sample)
    ties, found = segments.slices[1], np.zeros(len(labels))
    found[segments.ranking.rows[ties.place]] = ties.influences(1.0)
    mass = np.ones(len(labels)) if weights is None else weights.astype(np.float64)
    for row in rows[codes[rows] == 1][:25]:
        mine = rows[codes[rows] == 1]
        more = mass[mine] * np.where(mine == row, 1.0001, 1.0)
        moved = pairwise_auc(labels[mine], scores[mine], more) - pairwise_auc(labels[mine], scores[mine], mass[mine])
        assert found[row] == pytest.approx(moved / 0.0001, rel=0.02, abs=1e-6)
    assert not found[np.setdiff1d(np.arange(len(labels)), rows)].any()


def test_grouped_auc_is_the_mean_over_users_that_have_both_classes(sample):
    scores, labels, weights, rows, codes = sample
    users = np.random.default_rng(2).integers(0, 300, len(labels))
    ranking = rank(scores, labels, weights, rows)
    found, counted = grouped_aucs(rank_in_groups(ranking, users[ranking.rows]), codes, 5)
    mass = np.ones(len(labels)) if weights is None else weights
    for segment in range(3):
        aucs, masses = [], []
        for user in range(300):
            mine = rows[(codes[rows] == segment) & (users[rows] == user)]
            if 0 < labels[mine].sum() < len(mine):
                aucs.append(pairwise_auc(labels[mine], scores[mine], mass[mine]))
                masses.append(mass[mine].sum())
        assert counted[segment] == len(aucs)
        assert found[segment] == pytest.approx(np.average(aucs, weights=masses), rel=1e-6)
    assert np.isnan(found[3:]).all() and not counted[3:].any()


def test_float32_scores_sort_as_numbers():
    values = np.array([-np.float32(3e38), -1.5, -1e-45, -0.0, 0.0, 1e-45, 2.0, np.float32(3e38)], dtype=np.float32)
    keys = sortable(values)
    assert (np.diff(keys.astype(np.int64)) >= 0).all()
    assert keys[3] == keys[4]
    assert np.array_equal(np.argsort(sortable(values.astype(np.float64)), kind="stable"), np.arange(8))


@pytest.mark.parametrize("most", [5, 1 << 31, 1 << 62])
def test_what_is_sorted_in_one_number_is_sorted_as_by_index(most):
    """The largest keys do not fit beside a place."""
    rng = np.random.default_rng(4)
    keys = rng.integers(0, most, 4000).astype(np.uint64)
    keys[::7] = keys[0]
    places, marks = np.flatnonzero(rng.random(9000) < 0.5)[:4000], rng.random(4000) < 0.3
    order = np.argsort(keys, kind="stable")
    for found, expected in zip(in_order(keys, places, marks), (keys, places, marks), strict=True):
        assert np.array_equal(found, expected[order])


def test_nothing_is_in_order():
    nothing = np.zeros(0, dtype=np.int64)
    assert not any(map(len, in_order(nothing.astype(np.uint64), nothing, nothing.astype(bool))))


def test_sums_between_edges_are_those_of_each_segments_own_rows(sample):
    segments, rng = in_segments(sample), np.random.default_rng(8)
    values = rng.normal(size=len(segments.codes))
    edges = [np.sort(rng.integers(0, len(values) + 1, 4)) for _ in range(5)]
    found = segments.sums_between(values, edges)
    for segment, own in enumerate(edges):
        mine = np.where(segments.codes == segment, values, 0)
        assert found[segment] == pytest.approx([part.sum() for part in np.split(mine, own)], abs=1e-9)
