"""What is stored, read again and judged: partitions as readers see them, score sets before anybody does."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmoe.errors import EvaluationError
from mmoe.lake.examination import Examination, keep, read_examination
from mmoe.lake.manifest import LabelCount, Manifest, Validation, canonical_digest
from mmoe.lake.reader import Partition, open_partition
from mmoe.lake.staging import Staged, staged_paths
from mmoe.lake.store import Store
from mmoe.quality.blocks import Blocks
from mmoe.quality.bounds import Parameters, label_rate
from mmoe.quality.examine import Subject, examine
from mmoe.quality.stored_rules import PROBABILITY
from mmoe.quality.suite import SUITES, load_suite
from mmoe.quality.validation import with_list_lengths
from mmoe.schema import Schema

ROUNDING = 1e-9


def verify_staged(store: Store, schema: Schema, staged: Staged, *, suites: Path = SUITES) -> Validation:
    """The rows as a reader would get them, against the schema and their own counts, before anybody can read them."""
    return _verify(store, schema, staged, staged.rows_digest, staged_paths(store, staged), suites)


def verify_partition(store: Store, schema: Schema, manifest: Manifest, *, suites: Path = SUITES) -> Validation:
    """The same of a published day: its bytes are read again, and judged unless `verify_staged` has judged them.

    Raises CorruptionError when its bytes are not the manifest's, and what else `open_partition` raises.
    """
    partition = open_partition(store, manifest.day, schema)
    examined = read_examination(store, manifest.day, manifest.digest)
    if examined is not None:
        return examined.validation()
    return _verify(store, schema, manifest, manifest.digest, partition.files, suites)


def verify_scores(
    store: Store, schema: Schema, path: Path, *, partition: Partition, name: str, whole: bool, suites: Path = SUITES
) -> None:
    """A score set that is about to be kept under `name`; `whole` says that it covers the whole partition.

    Raises EvaluationError with every critical failure: such a set would mislead teachers and gate.
    """
    suite = load_suite(schema, suites, "scores")
    parameters = _of_scores(schema, path) | {
        "fewest_rows": partition.rows * len(schema.heads) if whole else len(schema.heads),
        "most_rows": partition.rows * len(schema.heads),
    }
    rows = Subject(view_type=None, rows=Blocks(paths=(path,), prepare=_with_probability), parameters=parameters)
    examination = Examination(
        day=partition.day, suite=suite["name"], subject=canonical_digest(name), checks=examine(suite, [rows])
    )
    keep(store, examination)
    validation = examination.validation()
    if validation.status == "failed":
        reasons = "; ".join(str(failure) for failure in validation.failures if failure.severity == "critical")
        raise EvaluationError(f"day={partition.day}: score set {name}: {reasons}. It is not kept; see the model.")


def _verify(
    store: Store, schema: Schema, stated: Staged | Manifest, digest: str, paths: Sequence[Path], suites: Path
) -> Validation:
    suite = load_suite(schema, suites, "published")
    rows = Subject(
        view_type=None,
        rows=Blocks(paths=tuple(paths), prepare=lambda table: with_list_lengths(table, schema)),
        parameters=_stated(stated),
    )
    examination = Examination(day=stated.day, suite=suite["name"], subject=digest, checks=examine(suite, [rows]))
    keep(store, examination)
    return examination.validation()


def _stated(stated: Staged | Manifest) -> Parameters:
    parameters: Parameters = {"rows": stated.rows}
    nulls = {**stated.nulls, **{head: count.nulls for head, count in stated.labels.items()}}
    for name, missing in nulls.items():
        known = 1 - missing / stated.rows
        parameters |= {f"{name}_known_low": known - ROUNDING, f"{name}_known_high": known + ROUNDING}
    return parameters | {f"{head}_positives": count.positives for head, count in stated.labels.items()}


def _of_scores(schema: Schema, path: Path) -> Parameters:
    """Examples, and the bounds of each head's mean probability around the rate of its labels."""
    counts: Counter[tuple[str, int | None]] = Counter()
    with pq.ParquetFile(path) as file:
        examples = file.metadata.num_rows // len(schema.heads)
        for batch in file.iter_batches(columns=["head", "label"]):
            found = pa.Table.from_batches([batch]).group_by(["head", "label"]).aggregate([([], "count_all")])
            counts.update({(row["head"], row["label"]): row["count_all"] for row in found.to_pylist()})
    parameters: Parameters = {"examples": examples}
    for head in schema.heads:
        labels = LabelCount(positives=counts[head, 1], negatives=counts[head, 0], nulls=counts[head, None])
        parameters |= label_rate(head, [labels], labels.positives + labels.negatives)
    return parameters


def _with_probability(table: pa.Table) -> pa.Table:
    logits = table["logit"].to_numpy().astype(np.float64)
    return table.append_column(PROBABILITY, pa.array(0.5 + 0.5 * np.tanh(logits / 2)))
