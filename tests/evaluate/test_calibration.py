"""mmoe.evaluate.calibration: equal to scikit-learn's, never turning an order round, honest where rows are few."""

import subprocess
import sys
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit
from sklearn.calibration import _sigmoid_calibration
from sklearn.isotonic import IsotonicRegression

from mmoe.config import CalibrationConfig
from mmoe.data.scores import read_day_scores, write_scores
from mmoe.evaluate.calibration import Calibrator, Platt, fit_calibrator, fit_isotonic, fit_map, fit_platt
from mmoe.evaluate.metrics import calibration_ratio, roc_auc

NAN = float("nan")
KINDS = ["platt", "isotonic"]


def drawn(rows: int, slope: float = 0.6, intercept: float = -1.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Labels and logits of a model that is over-confident by 1/slope and off in level."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-0.5, 1.5, rows)
    return (rng.random(rows) < expit(slope * logits + intercept)).astype(float), logits


def test_platt_equals_scikit_learns() -> None:
    labels, logits = drawn(3000)
    a, b = _sigmoid_calibration(logits, labels)
    fitted = fit_platt(labels, logits)
    assert (fitted.slope, fitted.intercept) == pytest.approx((-a, -b), rel=1e-4)
    assert (fitted.rows, fitted.positives) == (3000, labels.sum())


def test_platt_finds_the_planted_map_and_survives_classes_that_are_apart() -> None:
    fitted = fit_platt(*drawn(200_000))
    assert (fitted.slope, fitted.intercept) == pytest.approx((0.6, -1.0), abs=0.02)
    logits = np.linspace(-1, 1, 200)
    apart = fit_platt((logits > 0).astype(float), logits)
    assert np.isfinite([apart.slope, apart.intercept]).all()


def test_a_ranking_that_runs_backwards_is_levelled_but_not_turned_round() -> None:
    labels, logits = drawn(3000, slope=-1.0)
    fitted = fit_platt(labels, logits)
    assert fitted.slope == 1
    assert expit(fitted.apply(logits)).mean() == pytest.approx(labels.mean(), abs=1e-3)


def test_isotonic_equals_scikit_learns_on_the_same_bins() -> None:
    labels, logits = drawn(3000)
    fitted = fit_isotonic(labels, logits)
    bins = np.array_split(np.argsort(logits, kind="stable"), 3000 // 25)
    rates = [(labels[rows].sum() + labels.mean()) / (len(rows) + 1) for rows in bins]
    weights = [len(rows) for rows in bins]
    expected = IsotonicRegression().fit_transform(np.arange(len(bins)), rates, sample_weight=weights)
    np.testing.assert_allclose(expit(fitted.calibrated), np.unique(expected.round(12)), rtol=1e-9)


def test_isotonic_follows_a_map_that_no_line_can() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 100_000)
    truth = np.where(logits < 0, 0.2 * logits, 2 * logits) - 1
    labels = (rng.random(len(logits)) < expit(truth)).astype(float)
    errors = {
        fit.__name__: np.abs(expit(fit(labels, logits).apply(logits)) - expit(truth)).mean()
        for fit in (fit_platt, fit_isotonic)
    }
    assert errors["fit_isotonic"] < 0.01 < errors["fit_platt"]


@pytest.mark.parametrize("fit", [fit_platt, fit_isotonic])
def test_a_rare_label_keeps_its_level(fit) -> None:
    """Bins of 25 rows at a rate of 2% hold half a positive: a prior of one half would double the rate."""
    labels, logits = drawn(40_000, slope=1.0, intercept=-4.0)
    fresh, scored = drawn(100_000, slope=1.0, intercept=-4.0, seed=2)
    assert labels.mean() < 0.03
    assert calibration_ratio(fresh, fit(labels, logits).apply(scored)) == pytest.approx(1, abs=0.08)


def test_bins_of_equal_logits_become_one_knot() -> None:
    labels = np.array([0.0, 1.0] * 500)
    fitted = fit_isotonic(labels, np.zeros(1000))
    assert len(fitted.logits) == 1
    assert fitted.apply(np.array([0.0])) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_no_order_changes_and_the_rate_comes_true_on_rows_not_fitted_on(kind) -> None:
    config = CalibrationConfig(kind=kind, min_positives=50)
    fitted = fit_map(*drawn(20_000), config)
    labels, logits = drawn(50_000, seed=2)
    calibrated = fitted.apply(logits)
    beyond = fitted.apply(np.array([-1e4, -50.0, 50.0, 1e4]))
    assert (np.diff(calibrated[np.argsort(logits)]) > 0).all() and (np.diff(beyond) > 0).all()
    assert roc_auc(labels, calibrated) == roc_auc(labels, logits)
    assert calibration_ratio(labels, calibrated) == pytest.approx(1, abs=0.03)
    assert abs(calibration_ratio(labels, logits) - 1) > 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_labels_that_are_not_final_do_not_count(kind) -> None:
    labels, logits = drawn(3000)
    masked = np.where(np.arange(3000) % 3 == 0, NAN, labels)
    config, known = CalibrationConfig(kind=kind, min_positives=50), ~np.isnan(masked)
    assert fit_map(masked, logits, config) == fit_map(labels[known], logits[known], config)


@pytest.fixture
def scores(tmp_path):
    """Search is over-confident, home_feed off in level, related too small; save too rare to fit anywhere."""
    labels, logits = drawn(9030, slope=0.5, intercept=0.0)
    view_type = np.array(["search"] * 4500 + ["home_feed"] * 4500 + ["related"] * 30)
    logits = np.where(view_type == "home_feed", logits * 0.5 + 2, logits)
    rare = np.zeros(9030)
    rare[:20] = 1
    write_scores(
        tmp_path / "scores.parquet",
        day=date(2026, 3, 1),
        model_digest="m",
        example_id=pa.array([str(row) for row in range(9030)]),
        group_id=pa.array(range(9030)),
        view_type=pa.array(view_type),
        logits={"click": logits, "save": logits},
        labels={"click": labels, "save": rare},
    )
    return read_day_scores(tmp_path / "scores.parquet")


@pytest.mark.parametrize("kind", KINDS)
def test_each_view_type_has_its_own_map_and_falls_back_to_its_heads(scores, kind) -> None:
    names, config = ("search", "home_feed", "related", "never_seen"), CalibrationConfig(kind=kind, min_positives=50)
    calibrator = fit_calibrator(scores, names, config)
    view_type = np.repeat([0, 1, 2], [4500, 4500, 30])
    calibrated = calibrator.apply("click", scores.logits["click"], view_type, names)
    for code in (0, 1):
        rows = view_type == code
        assert calibration_ratio(scores.labels["click"][rows], calibrated[rows]) == pytest.approx(1, abs=0.02)
    whole = fit_map(scores.labels["click"], scores.logits["click"], config)
    assert calibrator.maps["click"]["related"] == calibrator.maps["click"]["never_seen"] == whole
    assert calibrator.maps["click"]["search"] != calibrator.maps["click"]["home_feed"] != whole
    assert set(calibrator.maps["save"].values()) == {Platt()}
    np.testing.assert_array_equal(
        calibrator.apply("save", scores.logits["save"], view_type, names), scores.logits["save"]
    )
    assert Calibrator.model_validate_json(calibrator.model_dump_json()) == calibrator


def test_a_head_or_view_type_without_a_map_is_left_alone() -> None:
    calibrator = Calibrator(day=date(2026, 3, 1), model_digest="m", maps={"click": {"search": Platt(slope=3.0)}})
    logits, view_type = np.array([1.0, 1.0], dtype=np.float32), np.array([0, 1])
    assert calibrator.apply("click", logits, view_type, ("search", "new")).tolist() == [3.0, 1.0]
    assert calibrator.apply("save", logits, view_type, ("search", "new")).tolist() == [1.0, 1.0]


def test_fitting_imports_no_torch() -> None:
    code = "import sys, mmoe.evaluate.calibration; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
