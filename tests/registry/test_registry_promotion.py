"""Changes of the champion: compare-and-set, whole after any interruption, and on record."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mmoe.errors import RegistryError
from mmoe.registry import Registry, Version
from mmoe.registry.records import PromotionRecord, Records, reigns
from mmoe.registry.versions import Versions
from mmoe.settings import Settings

AddVersion = Callable[[str], Version]


@pytest.fixture
def three(registry: Registry, add_version: AddVersion) -> Registry:
    """Versions 1 (champion), 2 and 3."""
    for name in "abc":
        add_version(name)
    registry.bootstrap("1", actor="ada")
    return registry


def promote(registry: Registry, version: str, expected: str | None, digest: str | None = None) -> PromotionRecord:
    return registry.promote(
        version, expected_champion=expected, digest=digest or registry.version(version).digest, actor="ada",
        reason="pass", report=f"report-{version}",
    )  # fmt: skip


def aliases(registry: Registry) -> dict[str, str]:
    return {alias: version.version for version in registry.versions() for alias in version.aliases}


def test_a_bootstrap_installs_the_first_champion_once(three: Registry) -> None:
    assert aliases(three) == {"champion": "1"}
    assert three.bootstrap("1", actor="ada") == three.history()[0]
    with pytest.raises(RegistryError, match="the champion is 1 now"):
        three.bootstrap("2", actor="ada")
    assert len(three.history()) == 1


def test_a_bootstrap_is_refused_when_the_champions_alias_was_lost(three: Registry, settings: Settings) -> None:
    three._versions.point("champion", None)
    with pytest.raises(RegistryError, match="version 1 is champion by the records"):
        three.bootstrap("2", actor="ada")


def test_a_promotion_moves_the_aliases_and_is_on_record(three: Registry) -> None:
    three.set_challenger("2")
    record = promote(three, "2", "1")
    assert aliases(three) == {"champion": "2", "previous": "1"}
    assert (record.state, record.version, record.replaces, record.actor, record.report) == (
        "done", "2", "1", "ada", "report-2",
    )  # fmt: skip
    assert three.history()[-1] == record


def test_a_promotion_made_twice_is_one_promotion(three: Registry) -> None:
    assert promote(three, "2", "1") == promote(three, "2", "1")
    assert len(three.history()) == 2


def test_a_stale_comparison_is_not_promoted(three: Registry) -> None:
    promote(three, "2", "1")
    with pytest.raises(RegistryError, match="approved against champion 1, but the champion is 2 now"):
        promote(three, "3", "1")
    assert aliases(three)["champion"] == "2"


def test_what_was_not_approved_is_not_promoted(three: Registry) -> None:
    with pytest.raises(RegistryError, match="but 000000000000 was approved"):
        promote(three, "2", "1", digest="0" * 64)
    with pytest.raises(RegistryError, match="compared with no champion"):
        promote(three, "2", None)
    with pytest.raises(RegistryError, match="actor=''"):
        three.promote("2", expected_champion="1", digest="b" * 64, actor=" ", reason="", report="r")
    assert aliases(three) == {"champion": "1"}
    assert len(three.history()) == 1


def test_a_rollback_returns_to_the_version_before_and_no_further(three: Registry) -> None:
    promote(three, "2", "1")
    promote(three, "3", "2")
    record = three.rollback(expected_champion="3", actor="bob", reason="latency")
    assert aliases(three) == {"champion": "2", "previous": "1"}
    assert three.rollback(expected_champion="3", actor="bob", reason="latency") == record
    three.rollback(expected_champion="2", actor="bob", reason="still slow")
    assert aliases(three) == {"champion": "1"}
    with pytest.raises(RegistryError, match="no earlier champion"):
        three.rollback(expected_champion="1", actor="bob", reason="x")
    with pytest.raises(RegistryError, match="reason=''"):
        three.rollback(expected_champion="1", actor="bob", reason="")


def test_a_rollback_reaches_any_registered_version_and_can_be_taken_back(three: Registry) -> None:
    promote(three, "2", "1")
    record = three.rollback(expected_champion="2", actor="bob", reason="drift", to="3")
    assert (record.kind, record.version, record.replaces, record.previous_after) == ("rollback", "3", "2", "2")
    assert three.rollback(expected_champion="2", actor="bob", reason="drift", to="3") == record
    three.rollback(expected_champion="3", actor="bob", reason="worse")
    assert aliases(three) == {"champion": "2", "previous": "1"}
    three.rollback(expected_champion="2", actor="bob", reason="older", to="1")
    assert aliases(three) == {"champion": "1"}
    for wish in ({"to": "9"}, {"to": "1"}):
        with pytest.raises(RegistryError):
            three.rollback(expected_champion="1", actor="bob", reason="x", **wish)


def test_a_rollback_replaces_a_champion_whose_version_was_deleted(three: Registry) -> None:
    promote(three, "2", "1")
    three._client.delete_model_version("test_model", "2")
    assert aliases(three) == {"previous": "1"}
    three.rollback(expected_champion="2", actor="bob", reason="deleted by mistake")
    assert aliases(three) == {"champion": "1"}


class KilledError(BaseException):
    """Stands for SIGKILL: nothing in the product catches it."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """kill_at(n) ends the next change at its n-th write, before or after it took effect."""

    def arm(moment: int) -> None:
        writes = 0

        def dying(method: Callable[..., Any]) -> Callable[..., Any]:
            def write(*args: Any) -> Any:
                nonlocal writes
                writes += 1
                if writes * 2 - 1 == moment:
                    raise KilledError
                result = method(*args)
                if writes * 2 == moment:
                    raise KilledError
                return result

            return write

        monkeypatch.setattr(Records, "write", dying(Records.write))
        monkeypatch.setattr(Versions, "point", dying(Versions.point))

    yield arm
    monkeypatch.undo()


@pytest.mark.parametrize("moment", range(1, 11))
def test_a_promotion_killed_at_any_write_is_whole_after_the_next_run(
    three: Registry, settings: Settings, kill_at: Callable[[int], None], moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    three.set_challenger("2")
    kill_at(moment)
    with pytest.raises(KilledError):
        promote(three, "2", "1")
    monkeypatch.undo()
    again = Registry(settings)
    promote(again, "2", "1")
    assert aliases(again) == {"champion": "2", "previous": "1"}
    assert reigns(again.history()) == ["1", "2"]
    assert again.history()[-1].state == "done"


@pytest.mark.parametrize("moment", range(1, 9))
def test_a_rollback_killed_at_any_write_is_whole_after_the_next_run(
    three: Registry, settings: Settings, kill_at: Callable[[int], None], moment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(three, "2", "1")
    promote(three, "3", "2")
    kill_at(moment)
    with pytest.raises(KilledError):
        three.rollback(expected_champion="3", actor="bob", reason="latency")
    monkeypatch.undo()
    again = Registry(settings)
    again.rollback(expected_champion="3", actor="bob", reason="latency")
    assert aliases(again) == {"champion": "2", "previous": "1"}
    assert reigns(again.history()) == ["1", "2"]


def test_an_interrupted_promotion_of_one_version_does_not_stand_in_the_way_of_another(
    three: Registry, settings: Settings, kill_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill_at(4)  # `previous` has moved, `champion` has not
    with pytest.raises(KilledError):
        promote(three, "2", "1")
    monkeypatch.undo()
    undone = three.reconcile()
    assert undone is not None
    assert undone.state == "undone"
    assert aliases(three) == {"champion": "1"}
    promote(three, "3", "1")
    assert reigns(three.history()) == ["1", "3"]


def test_of_two_promotions_at_once_one_wins(three: Registry, settings: Settings) -> None:
    outcomes: list[str] = []

    def attempt(version: str) -> None:
        try:
            outcomes.append(promote(Registry(settings), version, "1").state)
        except RegistryError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=attempt, args=(version,)) for version in ("2", "3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome == "done" for outcome in outcomes) == [False, True]
    assert len(three.history()) == 2


def test_a_damaged_record_is_named(three: Registry, settings: Settings) -> None:
    path = Records(settings).folder / "000001.json"
    path.write_text('{"number": 1}')
    with pytest.raises(RegistryError, match=r"000001.json: kind: .*Restore"):
        three.history()
