"""mmoe.data.scores: the seam between models and everything that judges them."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mmoe.data.scores import read_scores, write_scores
from mmoe.errors import CorruptionError, EvaluationError

DAY = date(2026, 3, 1)


def write(path: Path, *, day: date = DAY, digest: str = "m1", ids: tuple[str, ...] = ("b", "a", "c"), **change: object):
    rows = len(ids)
    content = {
        "example_id": list(ids),
        "group_id": np.arange(rows) % 2 + 1000,
        "view_type": ["search", "home_feed", "search"][:rows],
        "logits": {"save": np.linspace(-1, 1, rows), "click": np.linspace(2, 3, rows)},
        "labels": {"save": np.full(rows, np.nan), "click": np.arange(rows) % 2.0},
    }
    write_scores(path, day=day, model_digest=digest, **(content | change))
    return path


def test_a_score_set_reads_back_as_written_in_the_rows_own_order(tmp_path: Path) -> None:
    scores = read_scores([write(tmp_path / "s.parquet")])
    assert scores.days == (DAY,) and scores.model_digest == "m1" and scores.heads == ("save", "click")
    assert scores.example_id.to_pylist() == ["b", "a", "c"]
    assert scores.group.tolist() == [0, 1, 0]
    view_types = scores.slices["view_type"]
    assert [view_types.names[code] for code in view_types.codes] == ["search", "home_feed", "search"]
    assert scores.logits["click"].tolist() == [2.0, 2.5, 3.0] and scores.logits["click"].dtype == np.float32
    assert np.isnan(scores.labels["save"]).all() and scores.labels["click"].tolist() == [0, 1, 0]


def test_days_of_one_model_join_in_the_order_given(tmp_path: Path) -> None:
    first = write(tmp_path / "1.parquet")
    second = write(tmp_path / "2.parquet", day=date(2026, 3, 2), ids=("x", "y"), group_id=[1001, 7])
    scores = read_scores([first, second])
    assert scores.rows == 5 and scores.group.tolist() == [0, 1, 0, 1, 2]
    assert scores.days == (DAY, date(2026, 3, 2))


def test_text_groups_are_kept_and_a_null_group_is_one_of_its_own(tmp_path: Path) -> None:
    scores = read_scores([write(tmp_path / "s.parquet", group_id=["u", None, "u"])])
    assert scores.group.tolist() == [0, 1, 0]


def test_an_empty_day_is_a_score_set_of_no_rows(tmp_path: Path) -> None:
    assert read_scores([write(tmp_path / "s.parquet", ids=())]).rows == 0


def test_slice_columns_and_learned_days_travel_with_the_scores(tmp_path: Path) -> None:
    slices = {"hour": [3, 11, None], "new_user": ["yes", "no", "yes"]}
    paths = [write(tmp_path / name, slices=slices, learned_days=[DAY]) for name in "12"]
    scores = read_scores(paths)
    assert scores.learned_days == (DAY,)
    assert scores.slices["hour"].names == ("3", "11", "missing")
    assert scores.slices["hour"].codes.tolist() == [0, 1, 2] * 2
    assert [rows.tolist() for rows in scores.slices["new_user"].positions] == [[1, 4], [0, 2, 3, 5]]
    with pytest.raises(EvaluationError, match="other slice columns"):
        read_scores([paths[0], write(tmp_path / "3")])


def test_the_file_is_long_format_head_after_head(tmp_path: Path) -> None:
    table = pq.read_table(write(tmp_path / "s.parquet"))
    assert table.column_names == ["example_id", "group_id", "view_type", "head", "logit", "label", "weight"]
    assert table["head"].to_pylist() == ["save"] * 3 + ["click"] * 3


def test_the_same_scores_are_the_same_bytes(tmp_path: Path) -> None:
    assert write(tmp_path / "1").read_bytes() == write(tmp_path / "2").read_bytes()


def test_a_logit_that_is_not_finite_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="1 logits of head 'click'"):
        write(tmp_path / "s.parquet", logits={"save": np.zeros(3), "click": np.array([0, np.nan, 0])})
    assert not list(tmp_path.iterdir())


def test_scores_of_two_models_do_not_mix(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="another model"):
        read_scores([write(tmp_path / "1"), write(tmp_path / "2", digest="m2")])


@pytest.mark.parametrize("keep", [0, 7, 200])
def test_a_damaged_score_set_is_corruption(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path / "s.parquet")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CorruptionError, match="score the day again"):
        read_scores([path])


def test_heads_that_cover_other_examples_are_corruption(tmp_path: Path) -> None:
    path = write(tmp_path / "s.parquet")
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(CorruptionError, match="not those of the other heads"):
        read_scores([path])


def test_reading_scores_imports_no_torch() -> None:
    code = "import sys, mmoe.data.scores; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
