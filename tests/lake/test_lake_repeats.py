import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mmoe.lake.repeats import PASSING, drop_repeats

ROW = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from(["a", "b", "c", None]),
        "price": st.sampled_from([1.0, 2.0, None]),
        "topics": st.sampled_from([[1, 2], [], None]),
        "click": st.sampled_from([0, 1, None]),
        "save": st.sampled_from([0, 1, None]),
        "_update": st.booleans(),
        "_delivered": st.integers(-1, 3),
        "_source": st.just(0),
    }
)
SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("price", pa.float32()),
        ("topics", pa.list_(pa.int64())),
        ("click", pa.int8()),
        ("save", pa.int8()),
        *PASSING,
    ]
)
MATURITY = {"click": 0, "save": 2}
REASONS = ("duplicates", "label_fills", "conflicts", "unmatched_updates")


def by_hand(rows, age):
    """Row by row: what the vectorised function must come to."""
    events, nameless = {}, 0
    for row in sorted(rows, key=lambda row: row["_update"]):
        nameless += row["event_id"] is None
        events.setdefault(row["event_id"] or f"nameless {nameless}", []).append(row)
    kept, counts = [], dict.fromkeys(REASONS, 0)
    for first, *copies in events.values():
        if first["_update"]:
            counts["unmatched_updates"] += 1 + len(copies)
            continue
        kept.append(settle(first, copies, age, counts))
    return kept, counts


def settle(first, copies, age, counts):
    def claims(row, *, firm):
        final = [name for name, days in MATURITY.items() if days <= age and firm == (row["_delivered"] >= days)]
        return {name: row[name] for name in final if row[name] is not None}

    truth, agreeing, filled = claims(first, firm=True), [], set()
    for number, copy in enumerate(copies):
        same = copy["_update"] or (copy["price"], copy["topics"]) == (first["price"], first["topics"])
        firm = claims(copy, firm=True)
        if not same or any(truth.get(name, value) != value for name, value in firm.items()):
            counts["conflicts"] += 1
            continue
        agreeing.append((number, copy))
        filled |= {number} if firm.keys() - truth.keys() else set()
        truth |= firm
    early = {name: value for name, value in claims(first, firm=False).items() if name not in truth}
    for number, copy in agreeing:
        news = {name: value for name, value in claims(copy, firm=False).items() if name not in truth}
        filled |= {number} if any(early.get(name) != value for name, value in news.items()) else set()
        early |= news
    counts["label_fills"] += len(filled)
    counts["duplicates"] += len(agreeing) - len(filled)
    labels = {name: (truth | early).get(name) for name in MATURITY}
    return {name: first[name] for name in ("event_id", "price", "topics")} | labels


@settings(deadline=None)
@given(st.lists(ROW, max_size=12), st.integers(0, 3))
def test_repeats_are_settled_as_row_by_row(rows, age):
    distinct = drop_repeats(pa.Table.from_pylist(rows, schema=SCHEMA), MATURITY, age)
    expected, counts = by_hand(rows, age)
    assert distinct.table.to_pylist() == expected
    assert distinct.dropped._asdict() == counts
