"""One demo from its first to its last chapter, resumed where an interrupted one stopped."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from mmoe.demo.airflow_api import Airflow
from mmoe.demo.journal import Journal
from mmoe.demo.loop import Loop
from mmoe.demo.narrator import Narrator
from mmoe.demo.serve import relative
from mmoe.demo.source import Log, simulated_log, user_log
from mmoe.demo.summary import summarize, tell
from mmoe.demo.timeline import Timeline, plan_timeline
from mmoe.errors import MmoeError
from mmoe.settings import Settings
from mmoe.stack.environment import CHECKOUT, StackConfig, prepare_secrets
from mmoe.stack.processes import Stack, StackError, recorded, refuse_taken_port, stop_recorded


def run_demo(*, home: Path, data: Path | None, schema_file: str | None, rows_per_day: int, airflow_port: int) -> None:
    """Run or resume the loop; raise MmoeError if any run did not end as it should."""
    narrator = Narrator()
    inputs = {"data": data and data.resolve(), "schema": schema_file, "rows": None if data else rows_per_day}
    if data is not None:
        user_log(data, schema_file)
    with only_demo(home):
        leave_no_leftovers(home)
        refuse_taken_port("AIRFLOW_PORT", airflow_port, "make demo")
        journal = Journal(home)
        if journal.belongs_to(inputs):
            narrator.say("an interrupted demo with these inputs is here: going on where it stopped")
        else:
            journal.begin(inputs)
        narrator.chapter("Engagement log")
        log = user_log(data, schema_file) if data is not None else simulated_log(home / "source", rows_per_day)
        timeline = plan_timeline(
            log.days, maturity_days=log.schema.maturity_days, rows_per_day=log.rows_per_day
        )  # fmt: skip
        config = StackConfig(home=home, airflow_port=airflow_port, settings=settings_for(home, log, timeline))
        journal.remember("settings", dict(config.settings))
        run_chapters(config, journal, log, timeline, narrator)


def run_chapters(config: StackConfig, journal: Journal, log: Log, timeline: Timeline, narrator: Narrator) -> None:
    passwords = prepare_secrets(config)
    stack = Stack(config, detached=False, with_mlflow=False)
    try:
        narrator.chapter("Airflow: scheduler, dag-processor, api-server and triggerer, on SQLite")
        stack.start(narrator.say)
        loop = Loop(
            admin=Airflow(config.airflow_url, "admin", passwords["admin"]),
            approver=Airflow(config.airflow_url, "demo-approver", passwords["demo-approver"]),
            timeline=timeline, narrator=narrator, check=stack.assert_alive,
        )  # fmt: skip
        loop.prepare()
        tell_story(loop, journal, log, config.home / "landing", narrator)
        summary = summarize(loop, log, Settings.model_validate(settings_fields(config)), journal, narrator)
    except KeyboardInterrupt:
        raise MmoeError("interrupted; `make demo` again goes on from here") from None
    finally:
        journal.add_seconds(narrator.seconds)
        narrator.say("stopping Airflow")
        stack.stop()
    tell(summary, config.home, narrator)
    journal.complete()


def tell_story(loop: Loop, journal: Journal, log: Log, landing: Path, narrator: Narrator) -> None:
    """The chapters. Each is entered once, or again after an interruption."""
    timeline = loop.timeline

    def history() -> None:
        log.deliver([day for day in timeline.history if day != log.late], landing)
        narrator.say(f"{len(list(landing.glob('dt=*')))} days of raw files are in the landing zone")
        loop.backfill(timeline.history[0], timeline.history[-1], reprocess="none")

    def late_day(day: date) -> None:
        log.deliver_late(landing)
        loop.backfill(day, day, reprocess="failed")

    def first_champion() -> None:
        first, last = timeline.bootstrap
        loop.run("bootstrap", "demo__bootstrap", {"first_day": str(first), "last_day": str(last)})

    def retention() -> None:
        loop.run("retention", "demo__retention", {"as_of": str(timeline.as_of)})

    def challenger() -> None:
        loop.batch_training("demo__batch")

    def fresh_day() -> None:
        log.deliver([timeline.fresh], landing)
        loop.run("engagement_ingest", f"demo__{timeline.fresh}", {}, partition_key=str(timeline.fresh))
        loop.wait_for_incremental(timeline.fresh)

    story: list[tuple[str, Callable[[], None]]] = [
        (f"History: backfill of {timeline.history[0]} to {timeline.history[-1]}", history),
        ("Bootstrap: the first champion, a shared-bottom DCNv2", first_champion),
        (f"Retention: what is older than {timeline.retention_days} days expires", retention),
        ("Batch training: MMoE with distillation, catch-up, gate, report, approval, promotion", challenger),
        (f"A fresh day, {timeline.fresh}: ingest, then incremental training of the champion", fresh_day),
    ]
    if log.late is not None:
        story.insert(1, ("A late day arrives: backfill of what failed", partial(late_day, log.late)))
    for title, chapter in story:
        if not journal.is_done(title):
            narrator.chapter(title)
            chapter()
            journal.done(title)


def settings_for(home: Path, log: Log, timeline: Timeline) -> tuple[tuple[str, str], ...]:
    """params.yaml with the demo's window and horizon, and the log's schema, as MMOE_* variables."""
    parameters = merged(yaml.safe_load((CHECKOUT / "params.yaml").read_text()), timeline.parameters())
    path = home / "params.yaml"
    path.write_text(
        "# params.yaml with the window and the retention horizon of this log\n" + yaml.safe_dump(parameters)
    )
    schema = log.schema_file if "/" not in log.schema_file and "." not in log.schema_file else None
    return (
        ("MMOE_PARAMS_FILE", str(path)),
        ("MMOE_SCHEMA_FILE", schema or str(Path(log.schema_file).resolve())),
        ("MMOE_LOG_ENDS", str(timeline.fresh)),
        ("MMOE_THREADS", "1"),  # Airflow works beside; two threads on two busy cores are slower than one
    )


def settings_fields(config: StackConfig) -> dict[str, Any]:
    given = {name.removeprefix("MMOE_").lower(): value for name, value in config.settings}
    return {**given, "home": config.home}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it, section by section."""
    return {**base, **{name: {**base.get(name, {}), **section} for name, section in changes.items()}}


@contextmanager
def only_demo(home: Path) -> Iterator[None]:
    """Hold the lock beside the home, so that two demos never share it."""
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(f"another `make demo` works in {relative(home)}; wait for it or stop it.") from None
        yield


def leave_no_leftovers(home: Path) -> None:
    """End what a killed demo left; refuse while `make up` serves this home."""
    if (home / "ports.json").exists() and recorded(home):
        raise StackError("`make up` is serving this demo's home: run `make down` first.")
    stop_recorded(home)
