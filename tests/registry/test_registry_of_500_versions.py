"""A registry of 500 versions on SQLite, as two years of daily updates leave it."""

import time
from collections.abc import Callable

import pytest

from mmoe.registry import Registry

pytestmark = pytest.mark.e2e
VERSIONS = 500


@pytest.fixture
def full(registry: Registry, log: Callable[..., str]) -> Registry:
    """One run, and 500 versions of it with tags of their own, by MLflow's client."""
    client, name, run = registry._client, registry._versions.name, log("plan")
    client.create_registered_model(name)
    tags = {
        "line": "l",
        "stage": "incremental",
        "trained_through": "2026-03-01",
        "first_day": "2026-03-01",
        "days": "1",
    }
    for number in range(1, VERSIONS + 1):
        client.create_model_version(
            name, source=f"runs:/{run}/model", run_id=run, tags=tags | {"digest": f"{number:064d}"}
        )
    return registry


def test_looking_up_promoting_and_history_take_less_than_a_second_each(full: Registry) -> None:
    full.bootstrap("1", actor="ann")
    taken = {}
    for name, ask in {
        "versions": full.versions,
        "version": lambda: full.version("250"),
        "champion": lambda: full.alias("champion"),
        "promote": lambda: full.promote(
            "500", expected_champion="1", digest=f"{500:064d}", actor="ann", reason="better", report="p"
        ),
        "rollback": lambda: full.rollback(expected_champion="500", actor="ann", reason="worse"),
        "history": full.history,
    }.items():
        started = time.process_time()
        found = ask()
        taken[name] = time.process_time() - started
        assert found
    assert len(full.versions()) == VERSIONS and full.alias("champion").version == "1"
    assert max(taken.values()) < 1.0, taken
