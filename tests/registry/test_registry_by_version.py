import pytest

from mmoe.errors import RegistryError
from mmoe.steps.context import Context
from mmoe.steps.versions import history_step, promote_version_step, report_version_step


@pytest.fixture
def context(settings):
    return Context(settings)


def test_a_report_that_is_not_here_is_fetched_from_mlflow(context, registry, add_version, tmp_path):
    version = add_version("a")
    for name in ("report.html", "report.json"):
        (tmp_path / name).write_text(f"the {name}")
    registry.log_report(version.run_id, tmp_path / "report.html", tmp_path / "report.json")
    registry.set_verdict(version.version, verdict="fail", report="p1")
    found = report_version_step(context, version.version)
    folder = context.settings.reports / "p1"
    assert (found["verdict"], found["html"]) == ("fail", str(folder / "report.html"))
    assert (folder / "report.html").read_text() == "the report.html"
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json"]


def test_a_version_without_a_report_is_neither_shown_nor_promoted(context, registry, add_version):
    version = add_version("a").version
    with pytest.raises(RegistryError, match="it has no report"):
        report_version_step(context, version)
    with pytest.raises(RegistryError, match="it has no report"):
        promote_version_step(context, version, actor="ann", reason="better")
    with pytest.raises(RegistryError, match="reason=''"):
        promote_version_step(context, version, actor="ann", reason=" ")
    registry.set_verdict(version, verdict="pass", report="p1")
    with pytest.raises(RegistryError, match="MLflow keeps no report of it"):
        report_version_step(context, version)
    assert registry.alias("champion") is None


def test_history_tells_who_why_from_what_to_what(context, registry, add_version):
    first = add_version("a")
    assert history_step(context) == {"champion": None, "changes": []}
    registry.bootstrap(first.version, actor="ann")
    found = history_step(context)
    assert found["champion"] == first.version
    assert [(each["actor"], each["replaces"], each["version"], each["reason"]) for each in found["changes"]] == [
        ("ann", None, first.version, "first champion")
    ]
