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
        for copy in copies:
            known = [label for label in LABELS if copy[label] is not None]
            same = (copy["price"], copy["topics"]) == (first["price"], first["topics"])
            if not same or any(first[label] not in (None, copy[label]) for label in known):
                counts["conflicts"] += 1
            elif all(first[label] is not None for label in known):
                counts["duplicates"] += 1
            else:
                counts["label_fills"] += 1
                first |= {label: copy[label] for label in known}
        result.append(first)
    return result, counts


@given(st.lists(ROW, max_size=12))
def test_repeats_are_settled_as_row_by_row(rows):
    distinct = drop_repeats(pa.Table.from_pylist(rows, schema=SCHEMA), LABELS)
    expected, counts = by_hand(rows)
    assert distinct.table.to_pylist() == expected
    assert {name: getattr(distinct, name) for name in counts} == counts
