from datetime import date

import pytest
from sample_report import sample_report

from mmoe.errors import RegistryError
from mmoe.lake.horizon import Horizon, advance_horizon
from mmoe.report.data import Report
from mmoe.report.render import render
from mmoe.steps.context import Context
from mmoe.steps.versions import history_step, promote_version_step, report_version_step


@pytest.fixture
def context(settings):
    return Context(settings)


@pytest.fixture
def reported(context, registry, add_version, tmp_path):
    """A version whose report lies in MLflow only, written by an earlier release's template."""
    version = add_version("a")
    report = sample_report().model_copy(update={"report": "p1", "version": version.version})
    (tmp_path / "report.html").write_text("<p>an older page")
    (tmp_path / "report.json").write_text(report.model_dump_json())
    registry.log_report(version.run_id, tmp_path / "report.html", tmp_path / "report.json")
    registry.set_verdict(version.version, verdict="inconclusive", report="p1")
    return version, report


def test_a_report_is_made_anew_from_what_mlflow_keeps_and_a_second_time_changes_nothing(context, registry, reported):
    version, report = reported
    found = report_version_step(context, version.version)
    folder = context.settings.reports / "p1"
    assert (found["verdict"], found["changed"], found["html"]) == ("inconclusive", True, str(folder / "report.html"))
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json", "summary.json"]
    made = Report.model_validate_json((folder / "report.json").read_bytes())
    assert made.gate == report.gate and made.challenger == report.challenger
    assert (folder / "report.html").read_text() == render(made)
    registry.download_report(version.version, context.settings.home / "again")
    assert (context.settings.home / "again" / "report.html").read_text() == render(made)
    assert report_version_step(context, version.version) == found | {"changed": False}
    (folder / "report.html").write_text("cut")
    assert report_version_step(context, version.version)["changed"]
    assert (folder / "report.html").read_text() == render(made)


def test_a_report_made_anew_tells_what_has_expired_and_who_decided(context, registry, add_version, reported):
    version, report = reported
    first = add_version("b")
    registry.bootstrap(first.version, actor="ann")
    registry.promote(
        version.version, expected_champion=first.version, digest=version.digest, actor="bob", reason="an override",
        report="p1",
    )  # fmt: skip
    assert [used.expired for used in report.challenger.days] == [True, False, False]
    advance_horizon(context.store, Horizon(day=date(2026, 9, 10)))
    report_version_step(context, version.version)
    made = Report.model_validate_json((context.settings.reports / "p1" / "report.json").read_bytes())
    assert [(used.expired, used.rows) for used in made.challenger.days] == [(True, None), (True, None), (False, 1000)]
    assert (made.decision.actor, made.decision.reason, made.decision.replaces) == ("bob", "an override", first.version)
    assert made.retention.horizon == date(2026, 9, 10)


def test_a_version_without_a_report_is_neither_shown_nor_promoted(context, registry, add_version):
    version = add_version("a").version
    with pytest.raises(RegistryError, match="it has no report"):
        report_version_step(context, version)
    with pytest.raises(RegistryError, match="it has no report"):
        promote_version_step(context, version, actor="ann", reason="better")
    with pytest.raises(RegistryError, match="reason=''"):
        promote_version_step(context, version, actor="ann", reason=" ")
    registry.set_verdict(version, verdict="pass", report="p1")
    with pytest.raises(RegistryError, match=r"neither MLflow nor .* keeps a readable report p1"):
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
