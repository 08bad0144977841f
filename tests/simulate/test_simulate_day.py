import time
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow.compute as pc
import pytest

from mmoe.errors import ConfigError
from mmoe.lake.conform import conform, required_columns
from mmoe.schema import load_schema
from mmoe.simulate import HEADS, VIEW_TYPES, SimulatorConfig, simulate_day
from mmoe.simulate import world as simulated_world
from mmoe.simulate.bayes import roc_auc
from mmoe.simulate.engagement import logits
from mmoe.simulate.impressions import HOME_FEED, SEARCH, draw

CONFIG = SimulatorConfig(seed=17, start=date(2026, 9, 1), days=24, rows_per_day=40_000)
FIRST, LAST = CONFIG.calendar[0], CONFIG.calendar[-1]


@pytest.fixture(scope="module")
def day():
    return simulate_day(CONFIG, FIRST)


def ids(simulated, column):
    return set(pc.unique(simulated.table[column]).to_pylist())


def test_a_day_fits_the_ads_schema_without_a_broken_value(day):
    schema = load_schema("ads")
    assert sorted(day.table.column_names) == sorted(required_columns(schema))
    conformed = conform(day.table, schema)
    assert conformed.misfits == {}
    assert conformed.table.num_rows == CONFIG.rows_per_day


def test_a_day_is_the_same_alone_and_after_others(day):
    config = SimulatorConfig(seed=17, start=FIRST, days=24, rows_per_day=3_000)
    in_order = [simulate_day(config, day).table for day in config.calendar[:4]]
    for cached in (simulated_world.users, simulated_world.catalog, simulated_world.ads):
        cached.cache_clear()
    assert simulate_day(config, config.calendar[3]).table.equals(in_order[3])


def test_another_seed_is_another_log(day):
    other = simulate_day(SimulatorConfig(seed=18, start=FIRST, days=24, rows_per_day=40_000), FIRST)
    assert not other.table["click"].equals(day.table["click"])


def test_event_ids_are_distinct_over_days_and_times_lie_in_the_day(day):
    second = simulate_day(CONFIG, CONFIG.calendar[1])
    assert len(ids(day, "event_id") | ids(second, "event_id")) == 2 * CONFIG.rows_per_day
    times = day.table["event_time"]
    start = datetime(2026, 9, 1, tzinfo=UTC)
    assert start <= pc.min(times).as_py() <= pc.max(times).as_py() < start + timedelta(days=1)
    hours = pc.hour(times)
    assert hours.equals(day.table["hour_of_day"])


def test_a_long_click_needs_a_click_and_a_clicked_ad_is_not_hidden(day):
    labels = day.labels
    assert not (labels["long_click"] & ~labels["click"] & 1).any()
    assert not (labels["hide"] & labels["click"]).any()
    saves = labels["save"]
    assert saves[labels["click"] == 1].mean() > 2 * saves[labels["click"] == 0].mean()


def test_save_is_null_only_where_the_log_ends_before_it_is_final():
    config = SimulatorConfig(seed=1, start=FIRST, days=5, rows_per_day=500, maturity_days=2)
    nulls = [simulate_day(config, day).table["save"].null_count for day in config.calendar]
    assert nulls == [0, 0, 0, 500, 500]


def test_the_truth_is_calibrated_in_every_part_of_its_range(day):
    for head in HEADS:
        truth, label = day.truth[head], day.labels[head]
        for part in np.array_split(np.argsort(truth), 5):
            deviation = np.sqrt((truth[part] * (1 - truth[part])).sum())
            assert abs(label[part].sum() - truth[part].sum()) < 4.5 * deviation, head


def test_no_blurred_truth_ranks_better_than_the_truth(day):
    noise = np.random.default_rng(0).normal(0.0, 1.0, CONFIG.rows_per_day)
    for head in HEADS:
        logit = np.log(day.truth[head] / (1 - day.truth[head]))
        assert roc_auc(logit + noise, day.labels[head]) < roc_auc(logit, day.labels[head]) - 0.01


@pytest.mark.parametrize("seed", [1, 2, 17])
def test_rates_and_bayes_auc_lie_in_the_documented_range(seed):
    config = SimulatorConfig(seed=seed, start=FIRST, days=24, rows_per_day=40_000)
    days = [simulate_day(config, config.calendar[number]) for number in (3, 20)]
    rate = {head: np.mean([day.labels[head].mean() for day in days]) for head in HEADS}
    assert 0.11 < rate["click"] < 0.20
    assert 0.30 < rate["long_click"] / rate["click"] < 0.50
    assert 0.025 < rate["save"] < 0.06
    assert 0.012 < rate["hide"] < 0.035
    for head, low, high in (
        ("click", 0.79, 0.84),
        ("long_click", 0.83, 0.89),
        ("save", 0.79, 0.87),
        ("hide", 0.8, 0.9),
    ):
        assert all(low < roc_auc(day.truth[head], day.labels[head]) < high for day in days), head


@pytest.mark.parametrize("column", ["user_id", "ad_id"])
def test_users_and_ads_have_long_tails(day, column):
    rows = np.sort(pc.value_counts(day.table[column]).field("counts").to_numpy())[::-1]
    assert rows[: len(rows) // 10].sum() > 0.35 * CONFIG.rows_per_day
    assert (rows <= np.median(rows)).mean() >= 0.5
    assert np.median(rows) < rows.mean() / 1.5


def test_ads_come_and_go_and_age_a_day_each_day():
    early, next_day, late = (simulate_day(CONFIG, CONFIG.calendar[number]) for number in (4, 5, 21))
    kept = len(ids(early, "ad_id") & ids(next_day, "ad_id")) / len(ids(early, "ad_id"))
    left = len(ids(early, "ad_id") & ids(late, "ad_id")) / len(ids(early, "ad_id"))
    assert 0.8 < kept < 0.97
    assert left < 0.3
    born = {}
    for number, simulated in ((4, early), (5, next_day), (21, late)):
        pairs = simulated.table.group_by("ad_id").aggregate([("ad_age_days", "min"), ("ad_age_days", "max")])
        assert pairs["ad_age_days_min"].equals(pairs["ad_age_days_max"])
        for ad, age in zip(pairs["ad_id"].to_pylist(), pairs["ad_age_days_min"].to_pylist(), strict=True):
            assert born.setdefault(ad, number - age) == number - age


def test_what_was_true_earlier_ranks_worse_the_longer_ago_it_was(day):
    """Drift: the truth of an earlier day as the score of a later one."""
    number = 20
    people, running = simulated_world.users(CONFIG), simulated_world.ads(CONFIG, number)
    shared = simulated_world.catalog(CONFIG)
    impressions = draw(CONFIG, people, running, CONFIG.rng(99))
    truth = 1 / (1 + np.exp(-logits(impressions, people, running, shared, number)[:, 0]))
    clicks = (np.random.default_rng(0).random(len(truth)) < truth).astype(np.int8)
    auc = [roc_auc(logits(impressions, people, running, shared, number - ago)[:, 0], clicks) for ago in (0, 4, 10, 18)]
    assert auc == sorted(auc, reverse=True)
    assert auc[0] - auc[1] < 0.02
    assert auc[0] - auc[3] > 0.02


def test_view_types_differ_in_rate_in_position_bias_and_in_relevance(day):
    relevance = day.table["relevance"].to_numpy()
    assert np.array_equal(np.isnan(relevance), day.view_N == HOME_FEED)
    position = day.table["position"].to_numpy()
    fall = {}
    for view in range(len(VIEW_TYPES)):
        here = day.view_N == view
        click = day.truth["click"]
        fall[view] = click[here & (position == 0)].mean() / click[here & (position >= 5)].mean()
    assert all(ratio > 1.2 for ratio in fall.values())
    assert fall[SEARCH] > 1.2 * fall[HOME_FEED]
    effect = [
        np.corrcoef(relevance[day.view_N == view], day.truth["click"][day.view_N == view])[0, 1] for view in (0, 1)
    ]
    assert effect[SEARCH] > 1.5 * effect[0] > 0


def test_missing_values_are_where_real_logs_have_them(day):
    nulls = {name: day.table[name].null_count / CONFIG.rows_per_day for name in day.table.column_names}
    assert 0.01 < nulls.pop("user_country") < 0.03
    assert 0.06 < nulls.pop("user_age_bucket") < 0.10
    assert 0.2 < nulls.pop("relevance") < 0.4
    assert set(nulls.values()) == {0.0}
    topics = pc.list_flatten(day.table["ad_topics"])
    assert pc.min(topics).as_py() >= 1
    assert pc.max(topics).as_py() <= simulated_world.TOPICS
    bits = simulated_world.ads(CONFIG, 0).topics_A
    expected = [[topic + 1 for topic in range(60) if int(ad) >> topic & 1] for ad in bits]
    place = {ad: row for row, ad in enumerate(simulated_world.ads(CONFIG, 0).id_A.tolist())}
    for ad, found in zip(day.table["ad_id"][:200].to_pylist(), day.table["ad_topics"][:200].to_pylist(), strict=True):
        assert found == expected[place[ad]]


def test_the_exact_auc_is_that_of_sklearn_with_ties():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    score = rng.integers(0, 20, 2_000).astype(np.float64)
    label = (rng.random(2_000) < score / 30).astype(np.int8)
    assert roc_auc(score, label) == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert roc_auc(score, np.zeros(2_000, dtype=np.int8)) is None
    assert roc_auc(score, np.ones(2_000, dtype=np.int8)) is None


def test_a_million_impressions_take_under_ten_seconds_of_processor_time():
    config = SimulatorConfig(seed=5, start=FIRST, days=2, rows_per_day=250_000)
    started = time.process_time()
    simulate_day(config, FIRST)
    assert time.process_time() - started < 2.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows_per_day": 0}, "rows_per_day=0: must be at least 1"),
        ({"days": 0}, "days=0: must be at least 1"),
        ({"seed": -1}, "seed=-1: must be at least 0"),
        ({"ad_life_days": 0.5}, "ad_life_days=0.5: must be at least 1"),
        ({"taste_days": float("nan")}, "taste_days=nan: must be at least 1"),
    ],
)
def test_an_impossible_log_is_refused_by_field_and_value(change, message):
    with pytest.raises(ConfigError, match=message):
        SimulatorConfig(**{"seed": 1, "start": FIRST, "days": 3, "rows_per_day": 10} | change)


@pytest.mark.parametrize("outside", [FIRST - timedelta(days=1), LAST + timedelta(days=1)])
def test_a_day_outside_the_log_is_refused(outside):
    with pytest.raises(ConfigError, match=f"day={outside}: not in the log; use 2026-09-01 to 2026-09-24"):
        simulate_day(CONFIG, outside)


def test_a_log_of_one_row_by_one_day_can_be_made():
    config = SimulatorConfig(
        seed=1, start=FIRST, days=1, rows_per_day=1, users=10, ads=10, advertisers=1, maturity_days=0
    )
    assert simulate_day(config, FIRST).table.num_rows == 1
