"""What a demo did, read back from Airflow, MLflow and the lake, never from what it meant to do."""

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

from mmoe.demo.airflow_api import AirflowError
from mmoe.demo.journal import Journal
from mmoe.demo.loop import DAGS, Loop
from mmoe.demo.narrator import Narrator
from mmoe.demo.serve import relative
from mmoe.demo.source import Log
from mmoe.lake.ledger import expired_days
from mmoe.lake.quarantine import list_quarantined
from mmoe.lake.reader import published_days
from mmoe.lake.store import Store, open_store
from mmoe.registry import Registry
from mmoe.settings import Settings

BATCH_RUN = "demo__batch"


def summarize(loop: Loop, log: Log, settings: Settings, journal: Journal, narrator: Narrator) -> dict[str, Any]:
    """Build the summary; raise AirflowError if a run did not end as it should."""
    store = open_store(settings.lake_url, settings.cache_path)
    registry = Registry(settings)
    champion = registry.alias("champion")
    if champion is None:
        raise AirflowError("MLflow has no champion after the loop")
    report_id = str(loop.admin.xcom("batch_training", BATCH_RUN, "report")["report"])
    report_path = settings.reports / report_id / "report.html"
    report = json.loads(report_path.with_suffix(".json").read_text())
    runs = [describe(run, store, settings) for dag_id in sorted(DAGS) for run in loop.admin.runs(dag_id)]
    summary = {
        "champion": {
            "version": champion.version,
            "run_id": champion.run_id,
            "config": registry.config(champion.version),
        },
        "baseline_version": report["baseline_version"],
        "verdict": report["gate"]["verdict"],
        "lift": lifts(report["gate"]),
        "expired_partitions": [str(day) for day in expired_days(store)],
        "kept_partitions": [str(day) for day in published_days(store)],
        "quarantined": [{"day": str(record.day), "reason": record.reason} for record in list_quarantined(store)],
        "mixed_precision": report["mixed_precision"]["summary"],
        "bayes_auc": bayes_auc(log.folder, [date.fromisoformat(day) for day in report["gate"]["days"]]),
        "report_path": str(report_path),
        "dag_runs": sorted(runs, key=lambda run: str(run["started"])),
        "seconds": round(journal.content["seconds"] + narrator.seconds, 1),
    }
    refuse_unexpected(runs)
    return summary


def bayes_auc(source: Path, days: list[date]) -> dict[str, float | None] | None:
    """The best possible AUC per head on the held-out days, where the simulator knows it."""
    from mmoe.simulate import HEADS, read_truth

    if not (source / "truth.json").exists():
        return None
    truth = read_truth(source)
    return {head: truth.bayes_auc(head, tuple(days)) for head in HEADS}


def lifts(gate: dict[str, Any]) -> dict[str, Any]:
    """The gate's lifts as overall, by head, and by head and view type."""

    def cell(lift: dict[str, Any]) -> dict[str, Any]:
        return {name: lift[name] for name in ("lift", "low", "high", "rows", "champion_auc", "challenger_auc")}

    found = gate["lifts"]
    heads = sorted({lift["head"] for lift in found if lift["head"]})
    return {
        "overall": next(cell(lift) for lift in found if not lift["head"]),
        "heads": {lift["head"]: cell(lift) for lift in found if lift["head"] and not lift["slice"]},
        "slices": {
            head: {
                lift["slice"]: cell(lift) for lift in found if lift["head"] == head and lift["slice_by"] == "view_type"
            }
            for head in heads
        },
    }


def describe(run: dict[str, Any], store: Store, settings: Settings) -> dict[str, Any]:
    state, why = expected(run, store, settings)
    return {
        "dag_id": run["dag_id"],
        "run_id": run["dag_run_id"],
        "partition_key": run["partition_key"],
        "state": run["state"],
        "expected": state,
        "why": why,
        "started": run["start_date"],
        "seconds": seconds_between(run["start_date"], run["end_date"]),
    }


def expected(run: dict[str, Any], store: Store, settings: Settings) -> tuple[str, str]:
    """How a run should have ended, by what the lake and the landing zone hold."""
    if run["dag_id"] != "engagement_ingest" or not run["partition_key"]:
        return "success", ""
    day = date.fromisoformat(run["partition_key"])
    if any(record.day == day for record in list_quarantined(store)):
        return "failed", "the day is in quarantine"
    arrived = settings.landing_path / f"dt={day}"
    if run["state"] == "failed" and (not arrived.exists() or came_after(arrived, run["end_date"])):
        return "failed", "no landing file had arrived"
    return "success", ""


def came_after(folder: Path, moment: str) -> bool:
    return folder.stat().st_mtime > datetime.fromisoformat(moment).timestamp()


def seconds_between(start: str | None, end: str | None) -> float | None:
    if start is None or end is None:
        return None
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 1)


def refuse_unexpected(runs: list[dict[str, Any]]) -> None:
    wrong = [run for run in runs if run["state"] != run["expected"]]
    if wrong:
        details = "; ".join(f"{run['run_id']} is {run['state']}, not {run['expected']}" for run in wrong)
        raise AirflowError(f"{len(wrong)} runs did not end as they should: {details}")


def tell(summary: dict[str, Any], home: Path, narrator: Narrator) -> None:
    """Write summary.json and print where everything is."""
    path = home / "summary.json"
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps(summary, indent=1))
    aside.replace(path)
    overall = summary["lift"]["overall"]
    narrator.chapter(f"Done in {summary['seconds']:.0f} s")
    narrator.say(f"verdict     {summary['verdict']}: primary heads' AUC {overall['lift']:+.2%} "
                 f"[{overall['low']:+.2%}, {overall['high']:+.2%}] on {overall['rows']:,} rows")  # fmt: skip
    narrator.say(f"champion    version {summary['champion']['version']} (the gate's baseline was version "
                 f"{summary['baseline_version']})")  # fmt: skip
    narrator.say(f"partitions  {len(summary['kept_partitions'])} kept, {len(summary['expired_partitions'])} expired, "
                 f"{len(summary['quarantined'])} quarantined")  # fmt: skip
    narrator.say(f"report      {relative(Path(summary['report_path']))}")
    narrator.say(f"summary     {relative(path)}")
    narrator.say("`make up` opens Airflow (http://127.0.0.1:8080) and MLflow (http://127.0.0.1:5000) on this state")
