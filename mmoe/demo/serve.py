"""The stack in the background, for a person."""

import json
from pathlib import Path

from mmoe.demo.airflow_api import Airflow
from mmoe.demo.journal import Journal
from mmoe.demo.loop import POOLS
from mmoe.demo.narrator import Narrator
from mmoe.stack.environment import CHECKOUT, StackConfig, prepare_secrets
from mmoe.stack.processes import Stack, recorded, stop_recorded


def serve(*, home: Path, airflow_port: int, mlflow_port: int) -> None:
    """Start what is not running, and print where it listens and who may log in."""
    narrator = Narrator()
    settings = tuple(Journal(home).content.get("settings", {}).items())
    config = StackConfig(home=home, airflow_port=airflow_port, mlflow_port=mlflow_port, settings=settings)
    passwords = prepare_secrets(config)
    if recorded(home):
        narrator.say("the stack is running already")
        config = StackConfig(home=home, **json.loads((home / "ports.json").read_text()))
    else:
        (home / "ports.json").write_text(json.dumps({"airflow_port": airflow_port, "mlflow_port": mlflow_port}))
        Stack(config, detached=True, with_mlflow=True).start(narrator.say)
        admin = Airflow(config.airflow_url, "admin", passwords["admin"])
        for name, description in POOLS.items():
            admin.ensure_pool(name, 1, description)
    narrator.say(f"Airflow  {config.airflow_url}   (model promotions and data pages are in its navigation)")
    narrator.say(f"MLflow   {config.mlflow_url}")
    for user in ("admin", "operator", "viewer"):
        narrator.say(f"login    {user} / {passwords[user]}")
    narrator.say(f"`make down` stops it; its files are under {relative(home)}")


def stop(*, home: Path) -> None:
    stopped = stop_recorded(home)
    (home / "ports.json").unlink(missing_ok=True)
    Narrator().say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


def relative(path: Path) -> Path:
    return path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path
