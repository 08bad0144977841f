"""Take rows and labels that must go out of a day that stays: its published partition, and its raw landing files."""

import re
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from mmoe.errors import CorruptionError
from mmoe.lake.contents import Layout, inspect, keyed, known_label, opened
from mmoe.lake.expiry import Rules
from mmoe.lake.horizon import Horizon
from mmoe.lake.manifest import DataFile, Manifest, file_digest, from_json, to_json
from mmoe.lake.partitions import manifest_key, partition_prefix, staging_prefix
from mmoe.lake.parts import Tally
from mmoe.lake.store import Store
from mmoe.lake.tabular import DAMAGED, Edited, is_refusal
from mmoe.schema import VIEW_TYPE, Schema

EXPIRED_ROWS, MASKED_LABELS = "expired_rows", "masked_labels"
"""Counts that a rewritten partition's manifest has beside those of ingest."""


class Rewriting:
    """What a rewritten partition's manifest states, counted while its rows go by."""

    def __init__(self, schema: Schema) -> None:
        self.files: list[DataFile] = []
        self.expired_rows = 0
        self.masked_labels = 0
        self.tally = Tally(schema)

    def add(self, edited: Edited) -> int:
        """Rows that stay."""
        (table,) = self.tally.watch([edited.table()])
        self.expired_rows += len(edited.kept) - table.num_rows
        self.masked_labels += sum(int((mask & edited.kept).sum()) for mask in edited.nulls.values())
        return int(table.num_rows)

    def manifest(self, before: Manifest) -> Manifest:
        counts = dict(before.counts)
        counts[EXPIRED_ROWS] = counts.get(EXPIRED_ROWS, 0) + self.expired_rows
        counts[MASKED_LABELS] = counts.get(MASKED_LABELS, 0) + self.masked_labels
        return before.model_copy(
            update={
                "files": tuple(self.files), "counts": counts, "nulls": self.tally.nulls, "labels": self.tally.labels,
                "view_type_rows": self.tally.view_type_rows,
            }
        )  # fmt: skip


def rewrite_partition(store: Store, schema: Schema, day: date, rules: Rules) -> None:
    """Publish the day again without what must go, then remove every other copy of it. Call under the lake's lock.

    Runs again after a kill with the same outcome: the same rows become the same bytes under the same name. Raises
    CorruptionError when the manifest or a file of it is damaged; nothing has changed then.
    """
    before = _manifest(store, day)
    tally = Rewriting(schema)
    for number, file in enumerate(before.files):
        key = partition_prefix(day) + file.name
        path = store.local_path(key)
        if file_digest(path) != file.sha256:
            raise CorruptionError(f"{key}: its bytes are not those of its manifest; ingest the day again.")
        written = _rewritten(store, schema, file, number, (day, path), rules, tally)
        if written.rows or len(before.files) == 1:
            tally.files.append(written)
    if tuple(tally.files) != before.files:
        store.write_bytes(manifest_key(day), to_json(tally.manifest(before)))
    kept = {manifest_key(day), *(partition_prefix(day) + file.name for file in tally.files)}
    store.purge(copy for copy in store.copies(partition_prefix(day)) if copy.kind != "object" or copy.key not in kept)


def rewrite_raw(path: Path, target: Path, schema: Schema, day: date, rules: Rules) -> None:
    """Write a landing file again, in its own format, without what must go. Raises CorruptionError."""
    try:
        with opened(path, schema, day) as (blocks, layout):
            if blocks is None or layout is None:
                raise CorruptionError(f"{path.name} of {day}: cannot be rewritten; deliver it in another format.")
            with blocks.write(target) as write:
                for block in blocks.read(None):
                    write(edit(block, schema, layout, day, rules))
    except DAMAGED as error:
        if is_refusal(error):
            raise
        raise CorruptionError(
            f"{path.name} of {day}: is damaged, so what must go cannot be taken out of it; deliver it again or delete "
            "it, then run retention again."
        ) from None


def rewrite_late(store: Store, schema: Schema, key: str, day: date, rules: Rules) -> None:
    """Replace rows that wait for their day in the lake, under a name with their new digest, and remove the old ones."""
    with store.writer(f"{staging_prefix(day)}rewritten-late.parquet") as (scratch, _):
        rewrite_raw(store.local_path(key), scratch, schema, day, rules)
        renamed = re.sub(r"-[0-9a-f]{8}(?=\.parquet$)", f"-{file_digest(scratch)[:8]}", key)
        store.put_file(scratch, renamed)
    store.purge(copy for copy in store.copies(key) if copy.kind != "object" or renamed != key)


def unexpired(rows: pa.Table, schema: Schema, day: date, horizon: Horizon | None) -> pa.Table:
    """Canonical rows of a day without those behind a horizon of their own, and with labels behind theirs null."""
    if horizon is None or day >= horizon.newest:
        return rows
    layout = Layout(None, "", VIEW_TYPE, {head: head for head in schema.heads})
    return edit(rows, schema, layout, day, Rules(horizon=horizon, holds=(), late_days=0)).table()


def edit(block: pa.Table, schema: Schema, layout: Layout, day: date, rules: Rules, *, own_days: bool = True) -> Edited:
    """What of a block stays. With `own_days` False, every row counts to `day` whatever its time."""
    places, index = keyed(block, schema, layout if own_days else layout._replace(time=None), day)
    kept = ~np.array([rules.removes(place) for place in places], dtype=bool)[index]
    nulls = {}
    for label, column in layout.labels.items():
        if column in block.column_names:
            masked = np.array([rules.masks(place, label) for place in places], dtype=bool)[index]
            mask = masked & known_label(block, column)
            if mask.any():
                nulls[column] = mask
    return Edited(block, kept, nulls)


def _rewritten(
    store: Store, schema: Schema, file: DataFile, number: int, place: tuple[date, Path], rules: Rules, tally: Rewriting
) -> DataFile:
    """The part without what must go, in the lake. Its scratch file is one of the store's own unfinished writes."""
    day, path = place
    contents = inspect(path, schema, day, own_days=False)
    changes = contents is not None and rules.removal(contents).anything
    with store.writer(f"{staging_prefix(day)}rewritten-{number}.parquet") as (scratch, _):
        with opened(path, schema, day) as (blocks, layout):
            if blocks is None or layout is None:
                raise CorruptionError(f"day={day}: {path.name} is no part of a partition; ingest the day again.")
            rows = 0
            with blocks.write(scratch) as write:
                for block in blocks.read(None):
                    edited = edit(block, schema, layout, day, rules, own_days=False)
                    rows += tally.add(edited)
                    write(edited)
        if not changes:
            return file
        sha256 = file_digest(scratch)
        written = DataFile(
            name=f"part-{number}-{sha256[:8]}.parquet", rows=rows, bytes=scratch.stat().st_size, sha256=sha256
        )
        store.put_file(scratch, partition_prefix(day) + written.name)
    return written


def _manifest(store: Store, day: date) -> Manifest:
    content = store.read_bytes(manifest_key(day))
    if content is None:
        raise CorruptionError(f"day={day}: its manifest is gone; ingest the day again.")
    return from_json(Manifest, content, manifest_key(day))
