"""What is counted of rows on their way into part files."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from mmoe.lake.manifest import LabelCount
from mmoe.lake.partitions import GROUP_ID
from mmoe.schema import VIEW_TYPE, Schema

UNLISTED = "(unlisted)"


class Tally:
    """Nulls, labels and view types of rows that pass by."""

    def __init__(self, schema: Schema) -> None:
        features = schema.features
        names = [GROUP_ID, *features.categorical, *features.numeric, *features.multivalued]
        self.nulls = dict.fromkeys(names, 0)
        self.labels = {head: LabelCount(positives=0, negatives=0, nulls=0) for head in schema.heads}
        self.view_type_rows = dict.fromkeys(schema.view_type.names, 0)

    def watch(self, pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
        for piece in pieces:
            self._add(piece)
            yield piece

    def _add(self, rows: pa.Table) -> None:
        for name in self.nulls:
            self.nulls[name] += rows[name].null_count
        for head, before in self.labels.items():
            self.labels[head] = _more(before, rows[head])
        for entry in rows[VIEW_TYPE].value_counts().to_pylist():
            # What is not declared is only counted: its text is a row's value.
            name = entry["values"] if entry["values"] in self.view_type_rows else UNLISTED
            self.view_type_rows[name] = self.view_type_rows.get(name, 0) + entry["counts"]


def _more(before: LabelCount, label: pa.ChunkedArray) -> LabelCount:
    positives = pc.sum(pc.equal(label, 1)).as_py() or 0
    return LabelCount(
        positives=before.positives + positives,
        negatives=before.negatives + len(label) - label.null_count - positives,
        nulls=before.nulls + label.null_count,
    )
