"""The demo's engagement log: the simulator's, with faults, or a folder of the user's."""

import contextlib
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from mmoe.errors import SchemaError
from mmoe.lake.landing import deliver, find_days
from mmoe.lake.sources import raw_files
from mmoe.schema import SHIPPED, Schema, load_schema

FIRST_DAY = date(2026, 9, 1)
SIMULATED_DAYS = 24
SEED = 17


@dataclass(frozen=True, kw_only=True)
class Log:
    """A folder of raw engagement files, and what is known of it."""

    folder: Path
    schema: Schema
    schema_file: str
    days: tuple[date, ...]
    rows_per_day: int
    late: date | None = None
    """A day whose files arrive only after the rest of history was loaded."""

    consumed: bool = False
    """Delivered files leave `folder`: a producer's outbox that keeps nothing, so that retention covers every copy."""

    def deliver(self, days: Collection[date], landing: Path) -> int:
        """Bring raw files of `days` into the landing zone; returns how many days had any."""
        return self._deliver(self.folder, days, landing)

    def deliver_late(self, landing: Path) -> int:
        return self._deliver(self.folder / "late", [self.late] if self.late else [], landing)

    def _deliver(self, folder: Path, days: Collection[date], landing: Path) -> int:
        present = [day for day in days if not self.consumed or (folder / f"dt={day}").exists()]
        if not present:
            return 0
        delivery = deliver(folder, self.schema, landing, days=present)
        if self.consumed:
            for day in present:
                shutil.rmtree(folder / f"dt={day}")
        return len(delivery.days)


def simulated_log(folder: Path, rows_per_day: int) -> Log:
    """Write the simulator's log with its planted faults, unless it is there already."""
    from mmoe.simulate import Faults, SimulatorConfig, write_log

    config = SimulatorConfig(seed=SEED, start=FIRST_DAY, days=SIMULATED_DAYS, rows_per_day=rows_per_day)
    days = tuple(FIRST_DAY + timedelta(days=n) for n in range(SIMULATED_DAYS))
    faults = Faults(repeated=days[10], broken=days[13], late=days[16])
    if not (folder / "truth.json").exists():
        write_log(config, folder, faults=faults)
    return Log(
        folder=folder, schema=load_schema("ads"), schema_file="ads", days=days, rows_per_day=rows_per_day,
        late=faults.late, consumed=True,
    )  # fmt: skip


def user_log(data: Path, schema_file: str | None) -> Log:
    """A folder of the user's. Raises SchemaError if it, or a schema that fits it, is missing."""
    if not data.is_dir():
        raise SchemaError(f"DATA={data}: no such folder. Give a folder of engagement files.")
    name = schema_file or fitting_schema(data)
    schema = load_schema(name)
    days = tuple(find_days(data, schema))
    return Log(folder=data, schema=schema, schema_file=name, days=days, rows_per_day=rows_a_day(data, schema, days))


def fitting_schema(data: Path) -> str:
    """DATA/schema.yaml, or the shipped schema whose file pattern matches something in DATA."""
    if (data / "schema.yaml").is_file():
        return str(data / "schema.yaml")
    for path in sorted(SHIPPED.glob("*.yaml")):
        with contextlib.suppress(SchemaError):
            raw_files(data, load_schema(path.stem))
            return path.stem
    raise SchemaError(
        f"DATA={data}: no shipped schema fits its files. Describe them in a YAML file (docs/schema.md) and pass it: "
        "make demo DATA=… SCHEMA=file.yaml, or put it at DATA/schema.yaml."
    )


def rows_a_day(data: Path, schema: Schema, days: tuple[date, ...]) -> int:
    """About how many rows a day holds, by Parquet footers; 0 where the files are of another kind or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    rows = 0
    for file in raw_files(data, schema):
        with contextlib.suppress(pa.ArrowInvalid, OSError):
            rows += parquet.read_metadata(file.path).num_rows
    return rows // max(1, len(days))
