from dataclasses import replace
from datetime import date, timedelta

from mmoe.registry import Version
from mmoe.registry.lineage import lineage
from mmoe.registry.versions import learned_days
from mmoe.registry.windows import LearnedModels

FIRST = date(2026, 9, 1)


def days(*numbers):
    return tuple(FIRST + timedelta(days=number) for number in numbers)


BOOTSTRAP = Version(
    version="1", run_id="r1", digest="d1", line="a", stage="bootstrap", trained_through=FIRST + timedelta(days=2),
    first_day=FIRST, days=3, parent=None, baseline=None, teacher=None, verdict=None, report=None,
    aliases=(), learned=days(0, 1, 2),
)  # fmt: skip
DAILY = replace(BOOTSTRAP, version="2", digest="d2", stage="incremental", parent="1", learned=days(3))
BATCH = replace(BOOTSTRAP, version="3", digest="d3", stage="batch", teacher="d2", learned=days(4, 5))
FRESH = replace(BATCH, version="4", digest="d4", parent="3", teacher=None, aliases=("champion",), learned=days(6))
NEXT = replace(BATCH, version="5", digest="d5", teacher="d4", learned=days(7))


def test_days_follow_warm_starts_and_teachers_to_their_ends():
    found = {model.version: model for model in lineage([BOOTSTRAP, DAILY, BATCH, FRESH, NEXT])}
    assert {name: (model.own, model.inherited, model.taught) for name, model in found.items()} == {
        "1": (days(0, 1, 2), (), ()),
        "2": (days(3), days(0, 1, 2), ()),
        "3": (days(4, 5), (), days(0, 1, 2, 3)),
        "4": (days(6), days(4, 5), days(0, 1, 2, 3)),
        "5": (days(7), (), days(0, 1, 2, 3, 4, 5, 6)),
    }
    assert [found["4"].learned(day) for day in days(6, 5, 0, 9)] == ["own", "inherited", "taught", None]


def test_a_models_age_counts_from_the_oldest_day_in_its_weights_and_not_from_its_teachers():
    champion = lineage([BOOTSTRAP, DAILY, BATCH, FRESH])[-1]
    as_of = FIRST + timedelta(days=20)
    assert (champion.oldest, champion.age(as_of)) == (FIRST + timedelta(days=4), 16)
    assert LearnedModels(as_of=as_of, max_age_days=15, models=(champion,)).too_old == (champion,)
    assert LearnedModels(as_of=as_of, max_age_days=16, models=(champion,)).too_old == ()


def test_a_circle_of_parents_or_teachers_ends():
    one = replace(BOOTSTRAP, parent="2", teacher="d2")
    two = replace(DAILY, parent="1", teacher="d1")
    assert lineage([one, two])[0].inherited == days(3)


def test_versions_record_each_day_and_older_ones_are_read_by_their_span(registry, log):
    made = registry.register(
        log(key="plan-gap"), digest="e" * 64, line="line-1", stage="batch", trained_through=days(4)[0],
        days=[*days(4), *days(0, 2)],
    )  # fmt: skip
    assert made.learned == days(0, 2, 4)
    assert learned_days({"first_day": "2026-09-01", "trained_through": "2026-09-03"}) == days(0, 1, 2)
