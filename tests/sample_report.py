"""A report with a word on everything, and names that would be markup."""

from datetime import date

from mmoe.evaluate.metrics import Bin, HeadMetrics
from mmoe.evaluate.verdict import Calibration, Finding, GateResult, Lift
from mmoe.report.data import (
    Curve,
    Distillation,
    MixedPrecision,
    Model,
    Report,
    Retention,
    ServingCost,
    UsedDay,
)

HOSTILE = "<script>alert(1)</script>"


def lift(head, view_type, low, high):
    middle = None if low is None else (low + high) / 2
    return Lift(
        head=head, slice_by=view_type and "view_type", slice=view_type,
        champion_auc=0.7, challenger_auc=0.71, lift=middle, low=low, high=high,
        rows=1000, positives=90,
    )  # fmt: skip


def sample_report():
    metric = HeadMetrics(
        head="click", rows=1000, positives=90, auc=0.71, pr_auc=0.2, log_loss=0.3,
        normalised_entropy=0.9, calibration=1.02,
    )  # fmt: skip
    days = (
        UsedDay(day=date(2026, 9, 1), use="trained", rows=None, expired=True),
        UsedDay(day=date(2026, 9, 9), use="distilled", rows=1000, expired=False, warnings=("volume: low",)),
        UsedDay(day=date(2026, 9, 22), use="held out", rows=1000, expired=False),
    )
    model = Model(
        version="2", digest="d" * 64, stage="incremental", experts=("dcnv2", "mlp"), parameters=1234, days=days,
        metrics=(metric,), calibration={"click": (Bin(predicted=0.1, observed=0.12, rows=500),)},
    )  # fmt: skip
    gate = GateResult(
        verdict="inconclusive", profile="lift", confidence=0.95, min_lift=0.001, slice_margin=-0.001,
        days=(date(2026, 9, 22),), rows=1000, champion_digest="c" * 64, challenger_digest="d" * 64,
        findings=(
            Finding(rule="calibration", head="click", verdict="pass", reason="fine"),
            Finding(rule="slice", head="click", slice_by="view_type", slice=HOSTILE, verdict="inconclusive",
                    reason="too few"),
        ),
        lifts=(lift(None, None, 0.002, 0.02), lift("click", None, -0.01, 0.02), lift("click", HOSTILE, None, None)),
        calibration=(Calibration(head="click", champion=1.0, challenger=1.02),),
    )  # fmt: skip
    return Report(
        title="Batch training", report="abc", verdict="inconclusive", version="2", baseline_version="1",
        champion_version="3", source_run=HOSTILE, schema_name="ads", gate=gate, challenger=model, champion=model,
        curves=(Curve(name="loss/click", points=((100.0, 0.6), (200.0, 0.4))),),
        gate_use={"click": {"search": (0.75, 0.25)}},
        distillation=Distillation(
            teacher_version="1", teacher_digest="c" * 64, loss="pairwise_logistic", weight=0.2,
            days=(date(2026, 9, 9),),
        ),
        mixed_precision=MixedPrecision(
            batch_size=512, rounds=60, threads=1, native_bfloat16=True, float32_ms=6.0, bfloat16_ms=3.0, rows=1000,
            float32_auc={"click": 0.71, "hide": None}, bfloat16_auc={"click": 0.7101, "hide": None},
            summary={"latency_ratio": 0.5, "auc_delta": 0.0001},
        ),
        serving=ServingCost(champion_ms=4.0, challenger_ms=6.0, champion_bytes=5_000_000, challenger_bytes=5_500_000),
        retention=Retention(
            horizon=date(2026, 9, 9), expired_days=(date(2026, 9, 1),), ledger_entries=1, ledger_whole=True
        ),
        reproduce="mmoe train batch --plan abc", config={"seed": 17, "kind": "batch"},
    )  # fmt: skip
