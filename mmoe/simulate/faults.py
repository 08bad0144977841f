"""Broken values, as a faulty producer would write them: few enough to overlook, too many to publish."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmoe.simulate.config import SimulatorConfig
from mmoe.simulate.day import SimulatedDay
from mmoe.simulate.world import FAULT_STREAM

BROKEN_SHARE = 0.01


def break_values(config: SimulatorConfig, simulated: SimulatedDay) -> pa.Table:
    """The day's table with about 1 % of the rows broken in each of four ways (at least one row in each)."""
    table = simulated.table
    rng = config.rng(FAULT_STREAM, config.index(simulated.day))

    def chosen() -> pa.Array:
        picked = rng.random(table.num_rows) < BROKEN_SHARE
        picked[rng.integers(table.num_rows)] = True
        return pa.array(picked)

    for column, broken in (
        ("click", pa.scalar(2, pa.int8())),
        ("view_type", pa.scalar("unknown_surface")),
        ("ad_id", pa.scalar(None, pa.int64())),
        ("event_id", pa.scalar(None, pa.string())),
        ("creative_quality", pa.scalar(np.inf)),
    ):
        table = _replace(table, column, chosen(), broken)
    return table


def _replace(table: pa.Table, column: str, where: pa.Array, value: pa.Scalar) -> pa.Table:
    replaced = pc.if_else(where, value, table[column].combine_chunks())
    return table.set_column(table.column_names.index(column), column, replaced)
