"""A registry of 500 versions on SQLite, as two years of daily updates leave it."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine, event

from mmoe.registry import Registry

pytestmark = pytest.mark.e2e
VERSIONS = 500


def register(registry: Registry, run: str, numbers: range) -> None:
    """Versions of one run with tags of their own, by MLflow's client."""
    tags = {
        "line": "l",
        "stage": "incremental",
        "trained_through": "2026-03-01",
        "first_day": "2026-03-01",
        "days": "1",
    }
    for number in numbers:
        registry._client.create_model_version(
            registry._versions.name,
            source=f"runs:/{run}/model",
            run_id=run,
            tags=tags | {"digest": f"{number:064d}"},
        )


def changes_and_looks(registry: Registry) -> dict[str, int]:
    """How many statements the database is sent for each; `promote` and `rollback` leave the champion as it was."""
    sent = 0

    def count(*_: object) -> None:
        nonlocal sent
        sent += 1

    asked = {}
    event.listen(Engine, "before_cursor_execute", count)
    for name, ask in {
        "versions": registry.versions,
        "version": lambda: registry.version("3"),
        "champion": lambda: registry.alias("champion"),
        "promote": lambda: registry.promote(
            "5", expected_champion="1", digest=f"{5:064d}", actor="ann", reason="better", report="p"
        ),
        "rollback": lambda: registry.rollback(expected_champion="5", actor="ann", reason="worse"),
        "history": registry.history,
    }.items():
        before = sent
        assert ask()
        asked[name] = sent - before
    event.remove(Engine, "before_cursor_execute", count)
    return asked


def test_every_look_and_change_asks_the_database_as_often_as_with_five_versions(
    registry: Registry, log: Callable[..., str]
) -> None:
    run = log("plan")
    registry._client.create_registered_model(registry._versions.name)
    register(registry, run, range(1, 6))
    registry.bootstrap("1", actor="ann")
    of_five = changes_and_looks(registry)
    register(registry, run, range(6, VERSIONS + 1))
    assert changes_and_looks(registry) == of_five
    assert len(registry.versions()) == VERSIONS and registry.alias("champion").version == "1"
