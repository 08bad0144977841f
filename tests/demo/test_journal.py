from mmoe.demo.journal import Journal

INPUTS = {"data": None, "rows": 1000}


def test_an_interrupted_demo_is_taken_up_with_the_same_inputs_only(tmp_path):
    Journal(tmp_path / "home").begin(INPUTS)
    found = Journal(tmp_path / "home")
    found.done("history")
    assert Journal(tmp_path / "home").belongs_to(INPUTS)
    assert Journal(tmp_path / "home").is_done("history")
    assert not Journal(tmp_path / "home").belongs_to(INPUTS | {"rows": 2000})


def test_a_finished_demo_starts_anew_in_an_empty_home(tmp_path):
    journal = Journal(tmp_path / "home")
    journal.begin(INPUTS)
    (tmp_path / "home" / "left.txt").write_text("old")
    journal.complete()
    assert not Journal(tmp_path / "home").belongs_to(INPUTS)
    Journal(tmp_path / "home").begin(INPUTS)
    assert not (tmp_path / "home" / "left.txt").exists()


def test_seconds_add_up_over_interruptions(tmp_path):
    journal = Journal(tmp_path / "home")
    journal.begin(INPUTS)
    journal.add_seconds(10)
    assert Journal(tmp_path / "home").add_seconds(5) == 15
