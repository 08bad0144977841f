"""Versions made again from what the registry and the lake hold; DVC is real, Airflow is not needed."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from lived import AS_OF, DAYS, PARAMS, live, publish_day, train_plan

from mmoe.errors import ConfigError, PartitionExpiredError, RegistryError, TrainingError
from mmoe.registry import Registry
from mmoe.registry.client import open_client
from mmoe.steps.context import Context
from mmoe.steps.evaluation import evaluate_step
from mmoe.steps.experiment import plots_step
from mmoe.steps.governance import retention_apply_step
from mmoe.steps.judging import gate_step
from mmoe.steps.pin import load_pin, pinned_digest
from mmoe.steps.pinning import pin_step, plan_pinned_step
from mmoe.steps.plan import Plan, load_plan
from mmoe.steps.provenance import Provenance
from mmoe.steps.reproduction import reproduce_step


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lived")
    return live(folder / "home", folder / "project")


@pytest.fixture
def context(lived, tmp_path):
    """The lived home, to do with as one likes."""
    shutil.copytree(lived.settings.home.parent / "project", tmp_path / "project")
    home = tmp_path / "home"
    shutil.copytree(lived.settings.home / "lake", home / "lake")
    shutil.copytree(lived.settings.home / "landing", home / "landing")
    changes = {
        "home": home, "params_file": tmp_path / "project" / "params.yaml",
        "mlflow_tracking_uri": lived.settings.tracking_uri,
    }  # fmt: skip
    return Context(lived.settings.model_copy(update=changes))


def project_of(context) -> Path:
    return context.settings.params_file.parent


def plan_of(context):
    fresh = Context(context.settings)
    return fresh, plan_pinned_step(fresh, project_of(context) / "dvc.lock")["plan"]


@pytest.mark.parametrize("version", ["1", "2", "3"], ids=["bootstrap", "distilled, then caught up", "daily update"])
def test_a_version_is_made_again_bit_for_bit(context, version):
    registry = Registry(context.settings)
    before = registry.versions()
    prepared = reproduce_step(context, version, project_of(context))
    assert prepared["digest"] == registry.version(version).digest
    fresh, plan = plan_of(context)
    assert not (context.settings.work / plan / "batch").exists()
    made = train_plan(fresh, plan) if version != "1" else train_first(fresh, plan)
    assert made["digest"] == registry.version(version).digest
    assert (made["identical"], made["reused"]) == (True, False)
    assert registry.versions() == before


def test_a_daily_update_replays_learned_days_that_are_retained_and_says_so(context):
    """The champion had learned days 1 to 6, three are to be replayed, and on day 10 days 6 to 9 are retained."""
    registry = Registry(context.settings)
    plan = Plan.model_validate_json(json.dumps(registry.config("3")))
    assert [ref.day for ref in plan.replay_days] == [DAYS[5]]
    assert [ref.day for ref in plan.catch_up_days] == list(DAYS[6:9])
    version = registry.version("3")
    assert version.learned == DAYS[5:9]
    inputs = open_client(context.settings).get_run(version.run_id).inputs.dataset_inputs
    uses = {each.dataset.name: each.tags[0].value for each in inputs}
    assert uses == {f"dt={DAYS[5]}": "replay"} | {f"dt={day}": "training" for day in DAYS[6:9]}


def test_a_replayed_day_that_has_expired_since_the_plan_is_refused(context):
    reproduce_step(context, "3", project_of(context))
    fresh, plan = plan_of(context)
    expiring = DAYS[5] + timedelta(days=PARAMS["retention"]["days"] + 1)
    retention_apply_step(context, expiring, expiring, confirmed_by="test", dry_run=False)
    with pytest.raises(PartitionExpiredError, match=f"day={DAYS[5]}: behind the retention horizon {DAYS[6]}"):
        train_plan(fresh, plan)


def train_first(context, plan):
    from mmoe.steps.training import train_batch_step

    return train_batch_step(context, plan)


def test_what_the_trigger_form_had_changed_is_in_the_prepared_params(context):
    reproduce_step(context, "2", project_of(context))
    written = yaml.safe_load((project_of(context) / "params.yaml").read_text())
    assert [expert["kind"] for expert in written["model"]["experts"]] == ["mlp", "dcnv2"]
    assert [expert["kind"] for expert in PARAMS["model"]["experts"]] == ["dcnv2", "mlp"]


def test_another_result_is_refused_with_all_that_differs(context):
    reproduce_step(context, "2", project_of(context))
    params = yaml.safe_load((project_of(context) / "params.yaml").read_text())
    (project_of(context) / "params.yaml").write_text(yaml.safe_dump(params | {"seed": 18}))
    changed = context.settings.model_copy(update={"code_commit": "decaf"})
    fresh, plan = plan_of(Context(changed))
    with pytest.raises(TrainingError, match=r"version 2 was not reproduced: .* \(commit: c0ffee, now decaf\)"):
        train_plan(fresh, plan)


def test_every_training_records_the_code_the_machine_and_how_to_repeat_it(context):
    version = Registry(context.settings).version("2")
    tags = Registry(context.settings).tags("2")
    assert tags["reproduce"] == f"git checkout c0ffee && mmoe reproduce {version.digest[:12]} && dvc repro catch_up"
    made_by = Provenance.from_tags(tags)
    assert (made_by.commit, made_by.dirty, made_by.threads) == ("c0ffee", False, 1)


def test_the_dataset_names_manifests_by_digest_and_copies_no_row(context):
    pinned = pin_step(context, AS_OF, project_of(context))
    lock = project_of(context) / "dvc.lock"
    dataset = next(each for each in yaml.safe_load(lock.read_text())["datasets"] if each["name"] == "window")
    assert dataset["url"] == f"remote://lake/windows/{pinned['window']}.json"
    pin = load_pin(context.store, pinned_digest(lock))
    manifests = {day: json.loads((context.settings.home / "lake" / f"engagement/dt={day}/manifest.json").read_bytes())
                 for day in DAYS[:8]}  # fmt: skip
    assert [ref.day for ref in pin.days] == list(manifests)
    assert not (project_of(context) / ".dvc" / "cache").exists()
    assert lock.read_text().count("parquet") == 0


def test_after_expiry_the_refusal_says_which_days_and_which_ledger_entry(context):
    reproduce_step(context, "2", project_of(context))
    expire(context)
    for again in (lambda: reproduce_step(context, "2", project_of(context)), lambda: plan_of(context)):
        with pytest.raises(PartitionExpiredError) as refused:
            again()
        message = str(refused.value)
        assert message.startswith("the training window of version 2 can never be used again: 2 of its 5 days are")
        assert "(2026-09-03, 2026-09-04: ledger entry 0 (" in message
        assert "as of 2026-09-09)" in message
        assert "by policy no training can be repeated on them" in message


def expire(context):
    retention_apply_step(context, AS_OF, AS_OF, confirmed_by="test", dry_run=False)


def test_labels_that_expired_before_their_day_end_reproduction_too(context, tmp_path):
    policy = PARAMS | {"retention": {"days": 8, "labels": {"hide": 5}, "max_share": 1.0}}
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy))
    expire(Context(context.settings.model_copy(update={"params_file": tmp_path / "policy.yaml"})))
    with pytest.raises(PartitionExpiredError, match=r"a part of 2026-09-03 has expired \(ledger entry 0,"):
        reproduce_step(context, "2", project_of(context))


def test_a_day_published_anew_is_named_with_both_manifests(context):
    pin_step(context, AS_OF, project_of(context))
    part = context.settings.landing_path / f"dt={DAYS[3]}" / "part-0.parquet"
    shutil.copy(context.settings.landing_path / f"dt={DAYS[4]}" / "part-0.parquet", part)
    shorten(part, DAYS[3])
    publish_day(context, DAYS[3])
    with pytest.raises(TrainingError, match=r"2026-09-04 was published anew since \(manifest [0-9a-f]{12}, now"):
        plan_of(context)


def shorten(part, day):
    """The day's own rows but the last."""
    import pyarrow.parquet as parquet

    from mmoe.simulate import SimulatorConfig
    from mmoe.simulate.day import simulate_day

    config = SimulatorConfig(seed=3, start=DAYS[0], days=len(DAYS), rows_per_day=500, users=200, ads=80, advertisers=20)
    table = simulate_day(config, day).table
    parquet.write_table(table.slice(0, len(table) - 1), part)


def test_an_experiment_is_logged_and_never_registered(context):
    registry = Registry(context.settings)
    before, challenger = registry.versions(), registry.alias("challenger")
    pin_step(context, AS_OF, project_of(context))
    fresh, plan = plan_of(context)
    made = train_plan(fresh, plan)
    assert made["digest"] not in {version.digest for version in before}
    assert registry.run(f"experiment-{made['digest']}") == made["run_id"]
    assert (registry.versions(), registry.alias("challenger")) == (before, challenger)
    assert load_plan(context.settings, plan).pin == pinned_digest(project_of(context) / "dvc.lock")

    assert evaluate_step(fresh, plan)["run_id"] == made["run_id"]
    verdict = gate_step(fresh, plan)["verdict"]
    plots_step(fresh, plan, context.settings.home / "plots")
    metrics = json.loads((context.settings.home / "plots" / "metrics.json").read_text())
    assert metrics["verdict"] == verdict
    assert {"all", "related_pins", "search", "home_feed", "hour under 6"} <= set(metrics["auc"]["click"])
    assert {"primary", "click", "long_click"} <= set(metrics["lift"])


def test_uncommitted_parameters_are_not_overwritten(context):
    edited = yaml.safe_dump(PARAMS | {"seed": 5})
    (project_of(context) / "params.yaml").write_text(edited)
    with pytest.raises(ConfigError, match="commit them first"):
        reproduce_step(context, "2", project_of(context))
    assert (project_of(context) / "params.yaml").read_text() == edited


def test_an_ambiguous_or_unknown_version_is_refused_with_the_known_ones(context):
    with pytest.raises(RegistryError, match=r"version='9': 0 versions match; registered are: 1 \("):
        reproduce_step(context, "9", project_of(context))


def test_a_folder_without_dvc_is_refused(context, tmp_path):
    with pytest.raises(ConfigError, match="no DVC project"):
        pin_step(context, AS_OF, tmp_path)


def test_differences_name_both_sides():
    then = Provenance(commit="a", dirty=False, torch="2.13.0", cpu="AVX512", threads=2)
    now = then.model_copy(update={"torch": "2.14.0", "threads": 4})
    assert then.differences(then) == []
    assert then.differences(now) == ["torch: 2.13.0, now 2.14.0", "threads: 2, now 4"]
