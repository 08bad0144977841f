"""More rows than memory holds: kept as they come while they are few, in shard files by event id from then on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmoe.schema import EVENT_ID

SHARDS = 64
LIMIT_BYTES = 128 << 20
"""Rows of so many bytes are held in memory before they are written out."""
CODEC = pa.ipc.IpcWriteOptions(compression="zstd")


class Spill:
    """Rows with the same event id meet in one shard, in the order in which they were added."""

    def __init__(self, folder: Path, schema: pa.Schema, *, limit: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self.schema = schema
        self.limit = limit
        self._held: list[pa.Table] = []
        self._bytes = 0
        self._writers: list[pa.RecordBatchWriter] = []

    def add(self, rows: pa.Table) -> None:
        self._held.append(rows)
        self._bytes += rows.nbytes
        if self._bytes > self.limit:
            self._flush()

    def shards(self) -> Iterator[pa.Table]:
        """Every shard once, its file removed when the next one is asked for. Nothing can be added afterwards."""
        if not self._writers:
            yield pa.concat_tables([self.schema.empty_table(), *self._held])
            self._held = []
            return
        self._flush()
        for writer in self._writers:
            writer.close()
        for number in range(SHARDS):
            path = self._path(number)
            with pa.ipc.open_stream(pa.OSFile(str(path))) as reader:
                yield reader.read_all()
            path.unlink()

    def _flush(self) -> None:
        if not self._writers:
            self._writers = [
                pa.ipc.new_stream(str(self._path(number)), self.schema, options=CODEC) for number in range(SHARDS)
            ]
        rows = pa.concat_tables([self.schema.empty_table(), *self._held]).combine_chunks()
        self._held, self._bytes = [], 0
        shard = _shard_of(rows[EVENT_ID])
        ends = np.bincount(shard, minlength=SHARDS).cumsum()
        ordered = rows.take(pa.array(np.argsort(shard, kind="stable")))
        for number, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            self._writers[number].write_table(ordered.slice(start, end - start))

    def _path(self, number: int) -> Path:
        return self.folder / f"shard-{number}.arrow"


def _shard_of(ids: pa.ChunkedArray) -> NDArray[np.int64]:
    """By a hash of the id; rows without one, of which there may be many, go round."""
    import pandas as pd

    hashes = pd.util.hash_array(ids.to_numpy(), categorize=False)
    nameless = ids.is_null().to_numpy()
    return np.where(nameless, np.arange(len(ids)) % SHARDS, (hashes % np.uint64(SHARDS)).astype(np.int64))
