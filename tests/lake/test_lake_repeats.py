import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mmoe.lake.repeats import drop_repeats

ROW = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from(["a", "b", "c", None]),
        "price": st.sampled_from([1.0, 2.0, None]),
        "topics": st.sampled_from([[1, 2], [], None]),
        "click": st.sampled_from([0, 1, None]),
        "save": st.sampled_from([0, 1, None]),
    }
)
SCHEMA = pa.schema(
    {
        "event_id": pa.string(),
        "price": pa.float32(),
        "topics": pa.list_(pa.int64()),
        "click": pa.int8(),
        "save": pa.int8(),
    }
)
LABELS = ("click", "save")


def by_hand(rows):
    """Row by row: what the vectorised function must come to."""
    kept, nameless = {}, 0
    for row in rows:
        nameless += row["event_id"] is None
        kept.setdefault(row["event_id"] or f"nameless {nameless}", []).append(dict(row))
    result, counts = [], {"duplicates": 0, "label_fills": 0, "conflicts": 0}
    for first, *copies in kept.values():
        same = [copy for copy in copies if (copy["price"], copy["topics"]) == (first["price"], first["topics"])]
        counts["conflicts"] += len(copies) - len(same)
        truth, filler = dict(first), {}
        for label in LABELS:
            for number, copy in enumerate(same):
                if truth[label] is None and copy[label] is not None:
                    truth[label] = copy[label]
                    filler[label] = number
        for number, copy in enumerate(same):
            if any(copy[label] is not None and copy[label] != truth[label] for label in LABELS):
                counts["conflicts"] += 1
            elif number in filler.values():
                counts["label_fills"] += 1
            else:
                counts["duplicates"] += 1
        result.append(truth)
    return result, counts


@given(st.lists(ROW, max_size=12))
def test_repeats_are_settled_as_row_by_row(rows):
    distinct = drop_repeats(pa.Table.from_pylist(rows, schema=SCHEMA), LABELS)
    expected, counts = by_hand(rows)
    assert distinct.table.to_pylist() == expected
    assert {name: getattr(distinct, name) for name in counts} == counts
