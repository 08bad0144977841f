"""mmoe.data.aside: whole or not at all, and one writer at a time."""

import threading
from pathlib import Path

import pytest

from mmoe.data.aside import exclusive, written_aside


def test_a_folder_appears_only_when_its_block_ends(tmp_path: Path) -> None:
    with written_aside(tmp_path / "out") as aside:
        aside.mkdir()
        (aside / "a").write_text("a")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "a").read_text() == "a" and not aside.exists()


def test_a_failure_leaves_nothing_and_a_file_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    with pytest.raises(KeyError), written_aside(tmp_path / "out") as aside:
        aside.write_text("new")
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and (tmp_path / "out").read_text() == "old"


def test_what_a_killed_writer_left_is_not_mixed_in(tmp_path: Path) -> None:
    with written_aside(tmp_path / "out") as aside:
        aside.mkdir()
    (tmp_path / "out").rmdir()
    aside.mkdir()
    (aside / "left over").write_text("x")
    with written_aside(tmp_path / "out") as aside:
        aside.mkdir()
    assert not list((tmp_path / "out").iterdir())


def test_a_second_writer_waits_for_the_first(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with exclusive(tmp_path / "out"):
            order.append("second")

    with exclusive(tmp_path / "out"):
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_many_writers_go_one_by_one_and_leave_no_lock_file(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def write() -> None:
        for _ in range(20):
            with exclusive(tmp_path / "out"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    writers = [threading.Thread(target=write) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert most == [1] and not list(tmp_path.iterdir())
