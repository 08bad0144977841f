import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import log_loss as reference_log_loss

from mmoe.errors import EvaluationError
from mmoe.evaluate.metrics import (
    calibration_curve,
    calibration_ratio,
    log_loss,
    normalised_entropy,
    pr_auc,
    roc_auc,
)
from mmoe.evaluate.ranking import probabilities


@pytest.fixture(params=["continuous", "ties", "constant"])
def sample(request):
    rng = np.random.default_rng(3)
    logits = rng.normal(-1, 1.5, 4000).astype(np.float32)
    labels = (rng.random(4000) < probabilities(logits)).astype(np.float32)
    if request.param == "ties":
        logits = np.round(logits, 1)
    if request.param == "constant":
        logits = np.zeros_like(logits)
    return labels, logits


def test_auc_equals_scikit_learn_with_and_without_ties(sample):
    assert roc_auc(*sample) == pytest.approx(roc_auc_score(*sample), abs=1e-12)


def test_average_precision_equals_scikit_learn(sample):
    assert pr_auc(*sample) == pytest.approx(average_precision_score(*sample), abs=1e-9)


def test_log_loss_equals_scikit_learn(sample):
    labels, logits = sample
    assert log_loss(labels, logits) == pytest.approx(reference_log_loss(labels, probabilities(logits)), rel=1e-7)


def test_log_loss_of_extreme_logits_stays_finite():
    assert log_loss(np.array([1.0, 0.0]), np.array([-1e4, 1e4], dtype=np.float32)) == pytest.approx(1e4)


def test_knowing_only_the_rate_has_normalised_entropy_one():
    labels = np.array([1.0] * 30 + [0.0] * 70)
    assert normalised_entropy(labels, np.full(100, np.log(30 / 70))) == pytest.approx(1.0)


def test_calibration_of_true_probabilities_is_one():
    rng = np.random.default_rng(4)
    logits = rng.normal(-2, 1, 200_000)
    labels = (rng.random(200_000) < probabilities(logits)).astype(np.float64)
    assert calibration_ratio(labels, logits) == pytest.approx(1, abs=0.02)
    for each in calibration_curve(labels, logits):
        assert each.observed == pytest.approx(each.predicted, abs=0.01)


def test_one_class_has_no_auc():
    with pytest.raises(EvaluationError, match="3 positives and 0 negatives"):
        roc_auc(np.ones(3), np.arange(3.0))


def test_weights_count_rows_as_often_as_they_say(sample):
    labels, logits = sample
    weights = np.random.default_rng(5).integers(1, 4, len(labels))
    often = np.repeat(labels, weights), np.repeat(logits, weights)
    for metric in (roc_auc, pr_auc, log_loss, normalised_entropy, calibration_ratio):
        assert metric(labels, logits, weights) == pytest.approx(metric(*often), rel=1e-9)


def test_bins_share_the_rows_and_equal_scores_share_a_bin():
    logits = np.array([0.0] * 5 + [1.0, 2.0, 3.0, 4.0, 5.0])
    bins = calibration_curve(np.array([0, 1] * 5), logits, bins=2)
    assert [each.rows for each in bins] == [5, 5]
    assert calibration_curve(np.zeros(0), np.zeros(0)) == ()
