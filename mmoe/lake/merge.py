"""Sorted runs into one order by (event_time, event_id), a batch of each run in memory at a time. Nulls come last."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from mmoe.schema import EVENT_ID, EVENT_TIME

BATCH_ROWS = 8_192
ORDER = [(EVENT_TIME, "ascending"), (EVENT_ID, "ascending")]


def merge_sorted(tables: Iterable[pa.Table], folder: Path) -> Iterator[pa.Table]:
    """Tables of one schema, in pieces whose concatenation is sorted; equal keys keep the tables' order.

    Every table but a single one is written to `folder` as a sorted run, so only one of them is in memory at a time.
    """
    runs: list[Path] = []
    waiting: pa.Table | None = None
    for table in tables:
        if waiting is not None:
            runs.append(_write_run(waiting, folder / f"run-{len(runs)}.arrow"))
        waiting = table.sort_by(ORDER)
    if not runs:
        yield from () if waiting is None else (waiting,)
        return
    runs.append(_write_run(waiting, folder / f"run-{len(runs)}.arrow"))
    del waiting
    yield from _merge([_batches(run) for run in runs])


def _write_run(rows: pa.Table, path: Path) -> Path:
    with pa.ipc.new_stream(str(path), rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(rows, max_chunksize=BATCH_ROWS)
    return path


def _batches(run: Path) -> Iterator[pa.Table]:
    with pa.ipc.open_stream(pa.OSFile(str(run))) as reader:
        for batch in reader:
            if batch.num_rows:
                yield pa.Table.from_batches([batch])
    run.unlink()


def _merge(runs: list[Iterator[pa.Table]]) -> Iterator[pa.Table]:
    """What is not beyond the end of any run's batch in memory is complete: no later batch can come before it."""
    heads = [next(run, None) for run in runs]
    while any(head is not None for head in heads):
        ends = [_last(head) for head in heads if head is not None]
        bound = ends[pc.sort_indices(pa.concat_tables(ends), ORDER)[0].as_py()]
        ready = []
        for number, head in enumerate(heads):
            if head is None:
                continue
            count = _not_beyond(head, bound)
            ready.append(head.slice(0, count))
            rest = head.slice(count)
            heads[number] = rest if rest.num_rows else next(runs[number], None)
        yield pa.concat_tables(ready).sort_by(ORDER)


def _last(rows: pa.Table) -> pa.Table:
    return rows.select([EVENT_TIME, EVENT_ID]).slice(rows.num_rows - 1)


def _not_beyond(rows: pa.Table, bound: pa.Table) -> int:
    """How many rows, counted from the first, sort at or before `bound`."""
    low, high = 0, rows.num_rows
    while low < high:
        middle = (low + high) // 2
        pair = pa.concat_tables([rows.select([EVENT_TIME, EVENT_ID]).slice(middle, 1), bound])
        if pc.sort_indices(pair, ORDER)[0].as_py() == 0:
            low = middle + 1
        else:
            high = middle
    return low
