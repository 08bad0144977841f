import re
from itertools import pairwise

import pytest
from scipy.stats import binomtest

from mmoe.evaluate.metrics import Bin
from mmoe.evaluate.verdict import Finding, GateResult, Lift
from mmoe.report.charts import HEIGHT, calibration, course, smoothed, wilson
from mmoe.report.data import Curve
from mmoe.report.forest import forest, lift_axis, lift_strip
from mmoe.report.svg import Axis, element


def lift(head, view_type, low, high):
    middle = None if low is None else (low + high) / 2
    return Lift(
        head=head, slice_by=view_type and "view_type", slice=view_type,
        champion_auc=0.7, challenger_auc=0.71, lift=middle, low=low, high=high,
        rows=1000, positives=90,
    )  # fmt: skip


def gate(lifts, findings):
    return GateResult(
        verdict="fail", profile="lift", confidence=0.95, min_lift=0.001, slice_margin=-0.001, days=(), rows=1000,
        champion_digest="c", challenger_digest="d", findings=findings, lifts=lifts, calibration=(),
    )  # fmt: skip


def test_names_and_attributes_are_escaped():
    drawn = element("text", "<b>&", class_='"><script>')
    assert str(drawn) == '<text class="&#34;&gt;&lt;script&gt;">&lt;b&gt;&amp;</text>'


@pytest.mark.parametrize(("low", "high"), [(-0.013, 0.041), (-0.2, 0.0), (0.31, 0.47), (-3.0, 12.0)])
def test_ticks_are_round_evenly_spaced_and_inside(low, high):
    found = Axis(low=low, high=high, start=0, end=100).ticks()
    assert 3 <= len(found) <= 7
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)
    steps = [after - before for before, after in pairwise(found)]
    assert steps == pytest.approx([steps[0]] * len(steps))
    assert low > 0 or high < 0 or min(map(abs, found)) < 1e-9


def test_the_forest_places_the_estimate_between_its_bounds():
    drawn = lift_strip(lift("click", None, -0.01, 0.03), Axis(low=-0.02, high=0.05, start=0, end=100), 0.001, "pass")
    x1, x2 = (float(each) for each in re.search(r'x1="([\d.]+)%" y1="15" x2="([\d.]+)%"', drawn).groups())
    assert x1 < float(re.search(r'cx="([\d.]+)%"', drawn)[1]) < x2


def test_a_small_slices_wide_interval_leaves_the_scale_without_an_end():
    wide, whole = lift("click", "search", -0.4, 0.5), lift("click", None, 0.01, 0.02)
    axis = lift_axis([whole, wide], 0.001)
    assert axis.low > -0.1
    assert lift_strip(wide, axis, 0.001, "pass").count("whisker") == 1
    assert lift_strip(whole, axis, 0.001, "pass").count("whisker") == 3


def test_a_small_slices_estimate_stands_on_the_edge_and_does_not_widen_the_scale():
    whole = lift("click", None, 0.01, 0.02)
    large, small = (lift("click", name, -0.4, -0.2).model_copy(update={"rows": rows}) for name, rows in
                    (("search", whole.rows), ("hour", whole.rows // 20)))  # fmt: skip
    assert lift_axis([whole, large], 0.001).low < -0.3
    axis = lift_axis([whole, small], 0.001)
    assert axis.low > -0.1
    assert 'cx="0' in lift_strip(small, axis, 0.001, "pass")


def test_a_lifts_colour_is_the_verdict_on_it_and_not_its_sign():
    lifts = (lift(None, None, 0.01, 0.02), lift("click", None, 0.01, 0.02), lift("click", "search", None, None))
    found = Finding(rule="lift", head="click", verdict="inconclusive", reason="")
    assert [row.tone for row in forest(gate(lifts, (found,)), 0.001)] == ["plain", "inconclusive", "plain"]


def test_wilson_intervals_equal_scipys():
    for hits, rows in ((0, 50), (3, 50), (25, 50), (400, 500)):
        expected = binomtest(hits, rows).proportion_ci(0.95, method="wilson")
        found = wilson(Bin(predicted=0.1, observed=hits / rows, rows=rows))
        assert found == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_a_calibration_bin_without_positives_stays_inside_the_drawing():
    bins = (Bin(predicted=0.001, observed=0.0, rows=500), Bin(predicted=0.2, observed=0.3, rows=500))
    drawn = calibration("click", (), bins)
    assert all(0 <= float(y) <= 208 for y in re.findall(r' y[12]?="([-\d.]+)"', drawn))


def test_steps_without_final_labels_are_no_loss_of_zero():
    points = tuple((1000.0 * step, 0.5 - 0.005 * step) for step in range(1, 40))
    drawn = course(Curve(name="loss/save", points=(*points, (40_000.0, 0.0))), None, 40_000)
    raw = re.search(r'points="([^"]+)" class="series raw"', drawn)[1].split()
    assert len(raw) == len(points)
    assert max(float(place.split(",")[1]) for place in raw) < HEIGHT


def test_smoothing_is_by_rows_and_keeps_a_straight_line():
    points = [(float(rows), 2.0 * rows) for rows in (0, 1, 2, 3, 4, 5, 6)]
    assert smoothed(points, 1)[1:-1] == points[1:-1]


def test_the_end_of_distillation_is_marked_only_where_something_follows():
    points = tuple((1000.0 * step, 1 / step) for step in range(1, 40))
    curve = Curve(name="loss/click", points=points)
    assert "boundary" in course(curve, 20_000, 39_000)
    assert "boundary" not in course(curve, 39_000, 39_000)
