import json
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from handmade import DAY, SCHEMA, deliver, raw_rows

from mmoe.data.scores import write_scores
from mmoe.errors import EvaluationError
from mmoe.lake.examination import read_examination
from mmoe.lake.ingest import stage_day
from mmoe.lake.manifest import DataFile, Validation, canonical_digest, file_digest
from mmoe.lake.partitions import partition_prefix
from mmoe.lake.publish import publish
from mmoe.lake.reader import Partition
from mmoe.quality import verify_partition, verify_scores

ROWS = 200


@pytest.fixture
def manifest(store, landing):
    deliver(landing, raw_rows())
    staged = stage_day(store, landing, SCHEMA, DAY)
    return publish(store, staged, Validation(status="passed", subject=staged.digest, checks=1), SCHEMA)


def rewritten(store, manifest, change):
    """The manifest of a partition whose file holds other rows than the manifest's counts say."""
    key = partition_prefix(DAY) + manifest.files[0].name
    path = store.local_path(key)
    pq.write_table(change(pq.read_table(path)), path)
    file = DataFile(
        name=path.name, rows=pq.read_metadata(path).num_rows, bytes=path.stat().st_size, sha256=file_digest(path)
    )
    changed = manifest.model_copy(update={"files": (file,)})
    store.write_bytes(partition_prefix(DAY) + "manifest.json", changed.model_dump_json().encode())
    return changed


def with_column(table, name, values):
    return table.set_column(table.column_names.index(name), table.schema.field(name), values)


def test_a_partition_that_is_what_it_states_passes(store, manifest):
    validation = verify_partition(store, SCHEMA, manifest)
    assert (validation.status, validation.failures) == ("passed", ())
    examination = read_examination(store, DAY, manifest.digest)
    assert examination.suite == "handmade.published"
    assert {check.outcome for check in examination.checks} == {"held"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]), "event_id: column_values_to_be_unique: 2 of"),
        (lambda rows: with_column(rows, "click", pa.nulls(ROWS, pa.int8())), "click: column_sum"),
        (lambda rows: with_column(rows, "price", pa.nulls(ROWS, pa.float32())), "price: column_proportion"),
        (lambda rows: with_column(rows, "save", pa.array([2] * ROWS, pa.int8())), "save: column_values_to_be_in_set"),
        (lambda rows: with_column(rows, "view_type", pa.array(["x"] * ROWS)), "view_type: column_values_to_be_in_set"),
        (lambda rows: rows.drop_columns(["topics"]).append_column("topics", rows["topics"]), "table_columns_to_match"),
    ],
)
def test_a_partition_that_is_not_what_it_states_fails(store, manifest, change, reason):
    validation = verify_partition(store, SCHEMA, rewritten(store, manifest, change))
    assert validation.status == "failed"
    assert [str(failure) for failure in validation.failures if str(failure).startswith(reason)]


def scores(path, *, rows=ROWS, rate=0.3, **changes):
    rng = np.random.default_rng(0)
    labels = {head: (rng.random(rows) < rate).astype(np.float32) for head in SCHEMA.heads}
    labels["save"][:] = np.nan
    logits = {head: np.full(rows, np.log(rate / (1 - rate)), np.float32) for head in SCHEMA.heads}
    logits |= changes.pop("logits", {})
    columns = {
        "example_id": [f"e{number}" for number in range(rows)],
        "group_id": pa.array(range(rows)),
        "view_type": pa.array(["home", "search"] * (rows // 2)),
    }
    write_scores(path, day=DAY, model_digest="m" * 64, labels=labels, logits=logits, **{**columns, **changes})
    return path


def verify(store, path, *, whole=True, rows=ROWS):
    partition = Partition(day=DAY, digest="d", files=(), rows=rows)
    verify_scores(store, SCHEMA, path, partition=partition, name="model-day", whole=whole)


def test_a_sound_score_set_is_kept_with_its_examination(store, tmp_path):
    verify(store, scores(tmp_path / "s.parquet"))
    examination = read_examination(store, DAY, canonical_digest("model-day"))
    assert examination.suite == "handmade.scores"
    assert {check.outcome for check in examination.checks} == {"held"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"example_id": ["e0", "e0", *(f"e{n}" for n in range(2, ROWS))]}, "compound_columns_to_be_unique"),
        ({"example_id": pa.array([None, *(f"e{n}" for n in range(1, ROWS))])}, "example_id: column_values_to_not_be"),
        ({"view_type": pa.array(["elsewhere"] * ROWS)}, "view_type: column_values_to_be_in_set: 600 of 600"),
        ({"logits": {"click": np.full(ROWS, 40, np.float32)}}, "probability: column_mean_to_be_between: 1 is outside"),
    ],
)
def test_a_score_set_that_would_mislead_is_refused_with_the_reason(store, tmp_path, changes, reason):
    with pytest.raises(EvaluationError, match=reason):
        verify(store, scores(tmp_path / "s.parquet", **changes))


def test_a_score_set_covers_the_partition_unless_it_is_of_a_part(store, tmp_path):
    path = scores(tmp_path / "s.parquet")
    with pytest.raises(EvaluationError, match="table_row_count_to_be_between: 600 is outside 630 to 630"):
        verify(store, path, rows=210)
    verify(store, path, rows=210, whole=False)
    with pytest.raises(EvaluationError, match="600 is outside 3 to 570"):
        verify(store, path, rows=190, whole=False)


def test_infinite_logits_missing_heads_and_strange_labels_are_refused(store, tmp_path):
    good = pq.read_table(scores(tmp_path / "s.parquet"))
    logits = pa.array([np.inf, *[0.0] * 599], pa.float32())
    heads = good.filter(pa.compute.not_equal(good["head"], "save"))
    for changed, reason in (
        (with_column(good, "logit", logits), "logit: column_values_to_be_between: 1 of 600"),
        (with_column(good, "logit", pa.array([np.nan, *[0.0] * 599], pa.float32())), "logit: column_values"),
        (heads, "head: column_distinct_values_to_equal_set"),
        (with_column(good, "label", pa.array([7] * 600, pa.int8())), "label: column_values_to_be_in_set"),
    ):
        pq.write_table(changed, tmp_path / "bad.parquet")
        with pytest.raises(EvaluationError, match=reason):
            verify(store, tmp_path / "bad.parquet")


def test_the_examination_of_a_refused_score_set_stays_and_names_no_example(store, tmp_path):
    ids = ["canary-0815", "canary-0815", *(f"e{n}" for n in range(2, ROWS))]
    with pytest.raises(EvaluationError) as caught:
        verify(store, scores(tmp_path / "s.parquet", example_id=ids))
    examination = read_examination(store, DAY, canonical_digest("model-day"))
    assert "failed" in {check.outcome for check in examination.checks}
    assert "canary" not in str(caught.value) + json.dumps(examination.model_dump(mode="json"))
    assert read_examination(store, DAY - timedelta(days=1), canonical_digest("model-day")) is None
