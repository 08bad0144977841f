"""mmoe.steps.scoring: what is learned, calibrated and judged on never overlaps, and the calibrator is of those rows."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmoe.config import CalibrationConfig, load_params
from mmoe.data.scores import read_day_scores
from mmoe.settings import Settings
from mmoe.steps import scoring
from mmoe.steps.context import Context
from mmoe.steps.plan import DayRef, Plan

ROOT = Path(__file__).resolve().parents[2]
DAY = DayRef(day=date(2026, 3, 2), digest="d" * 64)


def plan(**changes) -> Plan:
    params = load_params(ROOT / "params.yaml")
    content = {
        "kind": "incremental",
        "schema_name": "small",
        "schema_fingerprint": "f" * 64,
        "champion": None,
        "baseline": None,
        "train_days": (),
        "catch_up_days": (DAY,),
        "holdout_days": (DAY,),
        "holdout_share": 0.2,
        "profile": "refresh",
        "distilled": False,
        "model": params.model,
        "params": params,
    }
    return Plan(**(content | changes))


def test_a_daily_updates_newest_day_falls_into_learned_calibration_and_judged_rows() -> None:
    groups = pa.array(range(20_000))
    own = plan()
    learned = [scoring.holdout_share(own, keep=False), scoring.calibration_share(own, keep=False)]
    fitted = [scoring.holdout_share(own, keep=False), scoring.calibration_share(own, keep=True)]
    masks = [[share.mask(groups) for share in shares] for shares in (learned, fitted, list(scoring.judged_groups(own)))]
    parts = [masks[0][0] & masks[0][1], masks[1][0] & masks[1][1], masks[2][0]]
    assert (sum(part.astype(int) for part in parts) == 1).all()
    assert [part.mean() for part in parts] == pytest.approx([0.72, 0.08, 0.2], abs=0.01)


def test_the_newest_learned_day_is_the_last_to_catch_up_or_else_to_train() -> None:
    older = DayRef(day=date(2026, 3, 1), digest="o" * 64)
    assert scoring.newest_learned(plan(train_days=(older,))) == DAY
    assert scoring.newest_learned(plan(train_days=(older,), catch_up_days=())) == older


def test_the_calibrator_is_fitted_to_the_uncalibrated_model_on_the_rows_left_out(
    trained, make_partition, next_day, small_schema, tmp_path, monkeypatch
) -> None:
    partition = make_partition(next_day, rows=4000)
    kept_as, params = [], load_params(ROOT / "params.yaml")
    own = plan(params=params.model_copy(update={"calibration": CalibrationConfig(min_positives=50)}))

    def keep(context, day, name, write):
        kept_as.append(tmp_path / f"{day} {name}")
        write(kept_as[-1])
        return kept_as[-1]

    monkeypatch.setattr(scoring, "open_day", lambda context, ref: partition)
    monkeypatch.setattr(scoring, "keep_scores", keep)
    context = Context(Settings(home=tmp_path / "home", threads=1))
    context.__dict__["schema"] = small_schema
    calibrator = scoring.fitted_calibrator(context, own, trained.folder)
    assert calibrator.model_digest == trained.digest and calibrator.day == next_day
    groups = pq.read_table(partition.files[0])["group_id"].combine_chunks()
    shares = scoring.holdout_share(plan(), keep=False), scoring.calibration_share(plan(), keep=True)
    kept = shares[0].mask(groups) & shares[1].mask(groups)
    assert len(read_day_scores(kept_as[0]).example_id) == kept.sum()
    assert calibrator.maps["click"]["search"].positives > 50
    assert scoring.fitted_calibrator(context, own, trained.folder) == calibrator


def test_without_calibration_nothing_is_left_out_or_fitted(trained, tmp_path) -> None:
    params = load_params(ROOT / "params.yaml")
    off = plan(params=params.model_copy(update={"calibration": params.calibration.model_copy(update={"kind": "none"})}))
    assert scoring.calibration_share(off, keep=False) is None
    assert scoring.fitted_calibrator(Context(Settings(home=tmp_path)), off, trained.folder) is None


def test_passes_are_judged_on_the_first_day_to_catch_up_or_else_on_the_calibrators_rows(monkeypatch) -> None:
    monkeypatch.setattr(scoring, "open_day", lambda context, ref: ref)
    older, context = DayRef(day=date(2026, 3, 1), digest="o" * 64), Context(Settings(home=Path()))
    params = load_params(ROOT / "params.yaml")
    patient = params.model_copy(update={"train": params.train.model_copy(update={"epochs": 3, "patience": 1})})
    ahead = scoring.held_out(context, plan(train_days=(older,), params=patient))
    assert (ahead.partition, ahead.groups) == (DAY, ())
    alone = plan(train_days=(older,), catch_up_days=(), params=patient)
    assert scoring.held_out(context, alone).partition == older
    learned, (judged,) = scoring.calibration_share(alone, keep=False), scoring.held_out(context, alone).groups
    groups = pa.array(range(1000))
    assert (learned.mask(groups) ^ judged.mask(groups)).all()
    off = patient.model_copy(update={"calibration": CalibrationConfig(kind="none")})
    assert scoring.held_out(context, plan(train_days=(older,), catch_up_days=(), params=off)) is None
    assert scoring.held_out(context, plan(train_days=(older,))) is None
