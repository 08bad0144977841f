import numpy as np
import pytest
from scoresets import score_set
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from mmoe.evaluate.measure import all_metrics
from mmoe.evaluate.ranking import probabilities


@pytest.fixture
def scores():
    rng = np.random.default_rng(1)
    logits = {head: rng.normal(-1, 1, 5000).astype(np.float32) for head in ("click", "hide")}
    labels = {head: (rng.random(5000) < probabilities(logit)).astype(np.float32) for head, logit in logits.items()}
    labels["hide"][rng.random(5000) < 0.3] = np.nan
    slices = {"view_type": rng.choice(["search", "home_feed"], 5000), "hour": rng.integers(0, 24, 5000)}
    weights = {"click": rng.exponential(1, 5000)}
    return score_set(logits, labels, slices=slices, group=rng.integers(0, 500, 5000), weights=weights)


def test_every_head_is_measured_on_all_rows_and_on_each_slice_as_scikit_learn_does(scores):
    found = {(each.head, each.slice_by, each.slice): each for each in all_metrics(scores)}
    assert len(found) == 2 * (1 + 2 + 24)
    names = scores.slices["hour"].names
    assert names == tuple(map(str, range(24)))
    for head in scores.heads:
        for hour in (None, "7", "23"):
            rows = scores.final(head)
            if hour is not None:
                rows = rows[scores.slices["hour"].codes[rows] == names.index(hour)]
            y, x = scores.labels[head][rows], scores.logits[head][rows]
            w = scores.weights[head][rows] if head == "click" else None
            each = found[head, None if hour is None else "hour", hour]
            assert (each.rows, each.positives) == (len(rows), int(y.sum()))
            assert each.auc == pytest.approx(roc_auc_score(y, x, sample_weight=w), abs=1e-12)
            assert each.pr_auc == pytest.approx(average_precision_score(y, x, sample_weight=w), abs=1e-9)
            assert each.log_loss == pytest.approx(log_loss(y, probabilities(x), sample_weight=w), rel=1e-6)
            base = log_loss(y, np.full(len(y), np.average(y, weights=w)), sample_weight=w)
            assert each.normalised_entropy == pytest.approx(each.log_loss / base, rel=1e-6)
            ratio = np.average(probabilities(x), weights=w) / np.average(y, weights=w)
            assert each.calibration == pytest.approx(ratio, rel=1e-6)


def test_calibration_error_is_that_of_ten_equal_bins(scores):
    each = next(each for each in all_metrics(scores, []) if each.head == "hide")
    rows = scores.final("hide")
    y, x = scores.labels["hide"][rows], scores.logits["hide"][rows]
    order = np.argsort(x, kind="stable")
    parts = [order[np.floor(np.arange(len(y)) * 10 / len(y)).astype(int) == part] for part in range(10)]
    p = probabilities(x)
    expected = sum(abs(p[part].sum() - y[part].sum()) for part in parts) / len(y)
    assert each.calibration_error == pytest.approx(expected, rel=1e-9)


def test_true_probabilities_have_hardly_any_calibration_error(scores):
    whole = [each for each in all_metrics(scores, []) if each.head == "hide"]
    assert whole[0].calibration_error < 0.03


def test_a_slice_of_one_class_is_counted_and_not_measured():
    found = all_metrics(score_set({"click": [1.0, 2, 3, 4]}, {"click": [0, 1, 1, np.nan]}, slices={"s": list("aabb")}))
    a, b = found[1:]
    assert (a.slice, a.rows, a.positives, a.auc) == ("a", 2, 1, 1.0)
    assert (b.slice, b.rows, b.positives, b.auc, b.log_loss) == ("b", 1, 1, None, None)
