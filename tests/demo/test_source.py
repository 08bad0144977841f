import shutil

import pytest

from mmoe.demo.source import fitting_schema, simulated_log, user_log
from mmoe.errors import SchemaError


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="no such folder"):
        user_log(tmp_path / "absent", None)


def test_a_folder_that_no_shipped_schema_fits_asks_for_a_schema(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(SchemaError, match=r"SCHEMA=file\.yaml"):
        user_log(tmp_path, None)


def test_a_schema_beside_the_data_is_found(tmp_path):
    (tmp_path / "schema.yaml").write_text("name: x\n")
    assert fitting_schema(tmp_path) == str(tmp_path / "schema.yaml")


def test_the_simulated_producer_keeps_no_copy_of_what_it_delivered(tmp_path):
    log = simulated_log(tmp_path / "source", rows_per_day=1000)
    landing = tmp_path / "landing"
    log.deliver(log.days[:3], landing)
    assert sorted(path.name for path in landing.glob("dt=*")) == [f"dt={day}" for day in log.days[:3]]
    assert not any((log.folder / f"dt={day}").exists() for day in log.days[:3])
    assert log.deliver(log.days[:3], landing) == 0
    shutil.rmtree(tmp_path / "source")
