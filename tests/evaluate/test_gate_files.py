"""Score sets as a stranger writes them with pandas, through the command that scripts call."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmoe.data.score_files import read_score_files
from mmoe.errors import EvaluationError
from mmoe.evaluate.files import gate_files
from mmoe.evaluate.ranking import probabilities


def frames(rows=30_000, before=0.8, after=0.2, seed=0, heads=("click",)):
    """Champion and challenger as tables in long format."""
    rng = np.random.default_rng(seed)
    shared = pd.DataFrame({"example_id": np.arange(rows), "user_id": rng.integers(0, rows // 20, rows)})
    shared["view_type"] = rng.choice(["search", "home_feed"], rows)
    shared["hour"] = rng.integers(0, 4, rows)
    sides = ([], [])
    for head in heads:
        truth = rng.normal(-1.5, 1.3, rows)
        label = (rng.random(rows) < probabilities(truth)).astype(int)
        for side, noise in zip(sides, (before, after), strict=True):
            side.append(shared.assign(head=head, label=label, logit=truth + rng.normal(0, noise, rows)))
    return tuple(pd.concat(side) for side in sides)


@pytest.fixture
def write(tmp_path):
    def write(champion, challenger):
        paths = [tmp_path / "champion.parquet", tmp_path / "challenger.parquet"]
        for frame, path in zip((champion, challenger), paths, strict=True):
            frame.to_parquet(path, index=False)
        return paths

    return write


def judge(paths, **options):
    return gate_files([paths[0]], [paths[1]], **options)


def run(*arguments, cwd):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MMOE_")}
    found = subprocess.run([sys.executable, "-m", "mmoe", "gate", *map(str, arguments)], cwd=cwd, text=True,
                           capture_output=True, env=environment, check=False)  # fmt: skip
    return found.returncode, json.loads(found.stdout.splitlines()[-1]), found


def test_the_command_ends_with_the_verdict_and_its_exit_code(write, tmp_path):
    code, result, found = run(*write(*frames()), "--cluster", "user_id", "--slices", "view_type,hour", cwd=tmp_path)
    assert (code, result["verdict"]) == (0, "pass"), found.stderr
    assert {"click"} == {each["head"] for each in result["metrics"]["challenger"]}
    assert result["lifts"][0]["clusters"] == 1500
    code, result, _ = run(*write(*frames(before=0.2, after=0.8)), cwd=tmp_path)
    assert (code, result["verdict"]) == (3, "fail")
    code, result, found = run(*write(*frames(2000, before=0.5, after=0.5)), cwd=tmp_path)
    assert (code, result["verdict"]) == (4, "inconclusive") and result["rows_needed"] > 2000
    assert "rows would probably tell" in found.stdout


def test_errors_and_usage_have_codes_of_their_own(write, tmp_path):
    champion, challenger = write(*frames(1000))
    code, result, found = run(champion, tmp_path / "nothing", cwd=tmp_path)
    assert code == 1 and "no Parquet file there" in found.stderr and "error" in result
    code, _, found = run(champion, challenger, "--profile", "best", cwd=tmp_path)
    assert code == 2 and "lift, parity, refresh" in found.stderr


def test_a_champion_without_scores_fails_closed_with_a_reason_per_rule(write, tmp_path):
    champion, challenger = frames(1000)
    empty, scored = write(champion[:0], challenger)
    code, result, found = run(tmp_path / "nothing", scored, "--profile", "refresh", cwd=tmp_path)
    assert (code, result["verdict"]) == (3, "fail") and "baseline present: the champion has no scores" in found.stdout
    failed = {(each["rule"], each["head"]) for each in result["findings"] if each["verdict"] == "fail"}
    assert {("baseline present", None), ("lift", None), ("head", "click"), ("calibration", "click")} <= failed
    assert result["metrics"]["challenger"][0]["auc"] > 0.5
    assert run(empty, scored, cwd=tmp_path)[0] == 3


def test_the_gate_on_files_needs_no_torch_and_no_mlflow():
    code = "import sys, mmoe.cli.gate, mmoe.evaluate.files; sys.exit(bool({'torch', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_three_columns_are_enough(write):
    minimal = [frame[["example_id", "label", "logit"]] for frame in frames()]
    result = judge(write(*minimal))
    assert result.verdict == "pass"
    assert [lift.head for lift in result.lifts] == [None, "score"]


def test_probabilities_are_as_good_as_logits(write):
    champion, challenger = frames()
    with_logits = judge(write(champion, challenger))
    converted = [frame.assign(probability=probabilities(frame.logit)).drop(columns="logit") for frame in
                 (champion, challenger)]  # fmt: skip
    assert judge(write(*converted)).lift("click").lift == pytest.approx(with_logits.lift("click").lift, abs=1e-6)


def test_rows_are_matched_by_example_across_files_heads_and_orders(tmp_path, write):
    champion, challenger = frames(heads=("click", "save"))
    expected = judge(write(champion, challenger))
    folder = tmp_path / "parts"
    folder.mkdir()
    shuffled = challenger.sample(frac=1, random_state=1)
    for part in range(3):
        shuffled.iloc[part::3].to_parquet(folder / f"{part}.parquet", index=False)
    found = gate_files([tmp_path / "champion.parquet"], [folder])
    assert [lift.lift for lift in found.lifts] == pytest.approx([lift.lift for lift in expected.lifts], rel=1e-9)
    assert found.verdict == expected.verdict


def test_a_planted_slice_regression_is_named(write):
    champion, challenger = frames(60_000)
    spoilt = challenger.assign(logit=np.where(challenger.hour == 2, np.random.default_rng(3).normal(size=60_000),
                                              challenger.logit))  # fmt: skip
    result = judge(write(champion, spoilt), slices={"hour": []})
    assert result.verdict == "fail"
    assert ("slice", "hour", "2") in {(each.rule, each.slice_by, each.slice) for each in result.findings
                                      if each.verdict == "fail"}  # fmt: skip


def test_a_watched_column_is_read_and_judged_beside_the_slices(write):
    champion, challenger = frames(60_000)
    spoilt = challenger.assign(logit=np.where(challenger.hour == 2, np.random.default_rng(3).normal(size=60_000),
                                              challenger.logit))  # fmt: skip
    result = judge(write(champion, spoilt), watched={"hour": []})
    assert ("slice", "hour", "2", "fail") in {(each.rule, each.slice_by, each.slice, each.verdict)
                                              for each in result.findings}  # fmt: skip


def test_slices_that_were_asked_for_and_are_not_there_fail_closed(write):
    paths = write(*frames())
    absent = judge(paths, slices={"new_user": []})
    value = judge(paths, slices={"view_type": ["search", "home_feed", "related_pins"]})
    assert absent.verdict == value.verdict == "fail"
    assert [each.slice for each in value.findings if each.verdict == "fail"] == ["related_pins"]


def test_many_rows_a_user_widen_the_interval_beyond_delongs(write):
    rng = np.random.default_rng(5)
    user = np.repeat(np.arange(300), 60)
    taste, wrong, otherwise = (rng.normal(0, size, 300)[user] for size in (1, 0.7, 0.7))
    label = (rng.random(len(user)) < probabilities(taste - 1)).astype(int)
    base = pd.DataFrame({"example_id": np.arange(len(user)), "user_id": user, "label": label})
    paths = write(base.assign(logit=taste + wrong), base.assign(logit=taste + otherwise))
    lift = judge(paths, cluster="user_id").lift("score")
    width, naive, drawn = (high - low for low, high in ((lift.low, lift.high), lift.delong, lift.bootstrap))
    assert width > 1.4 * naive
    assert drawn == pytest.approx(width, rel=0.12)
    alone = judge(paths).lift("score")
    assert alone.high - alone.low == pytest.approx(naive, rel=0.01)


def test_weights_are_honoured(write):
    champion, challenger = frames()
    weight = np.where(champion.view_type == "search", 3.0, 1.0)
    weighted = judge(write(champion.assign(weight=weight), challenger.assign(weight=weight))).lift("click")
    more = [pd.concat([frame, *(frame[frame.view_type == "search"].assign(example_id=lambda f, k=k: f.example_id + k)
                                for k in (100_000, 200_000))]) for frame in (champion, challenger)]  # fmt: skip
    repeated = judge(write(*more)).lift("click")
    assert weighted.champion_auc == pytest.approx(repeated.champion_auc, abs=1e-9)
    assert weighted.lift == pytest.approx(repeated.lift, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="label"), "no column label among"),
        (lambda f: f.rename(columns={"logit": "logits"}), "did you mean 'logits'"),
        (lambda f: f.assign(label=f.label + 1), "label: .* neither 0, 1 nor null"),
        (lambda f: f.assign(logit=f.logit.where(f.example_id > 2)), "logit: 3 values are null or not finite"),
        (lambda f: f.assign(example_id=f.example_id // 2), "head 'click': 500 repeated example_id"),
        (lambda f: f.assign(weight=0.0), "weight: 1000 values are not positive"),
        (lambda f: f.drop(columns="logit").assign(probability=2.0), "probability: 1000 values outside 0 to 1"),
        (lambda f: f.assign(logit="x"), "logit is of type"),
        (lambda f: f.assign(logit=1e300), "logit: 1000 values are null or not finite as float32"),
        (lambda f: f.assign(view_type=[["home_feed"]] * len(f)), "view_type is of type list"),
        (lambda f: f.assign(view_type=b"\xff"), "view_type: bytes that are not UTF-8"),
        (lambda f: f.assign(example_id=[{"a": each} for each in f.example_id]), "example_id is of type struct"),
        (lambda f: f.assign(day="yesterday"), "day: not every value is a date"),
        (lambda f: f.assign(model_digest=np.where(f.example_id % 2, "a", "b")), "scores of 2 models"),
        (lambda f: f.iloc[:0], "no rows"),
    ],
)
def test_what_is_wrong_is_refused_by_column_and_count_and_never_by_value(write, change, message):
    champion, challenger = frames(1000)
    with pytest.raises(EvaluationError, match=message):
        judge(write(champion, change(challenger)))


def test_a_column_that_is_there_twice_is_named(write, tmp_path):
    champion, challenger = write(*frames(1000))
    table = pq.read_table(challenger)
    pq.write_table(table.append_column("logit", table["logit"]), challenger)
    with pytest.raises(EvaluationError, match="column logit is there more than once"):
        judge((champion, challenger))


def test_a_primary_head_that_a_side_lacks_fails_by_name_and_so_does_the_mean(write):
    champion, challenger = frames(2000, heads=("click", "save"))
    result = judge(write(champion, challenger[challenger["head"] == "click"]))
    failed = {(each.rule, each.head): each.reason for each in result.findings if each.verdict == "fail"}
    assert "no scores for this head" in failed["head present", "save"]
    assert "no mean over them" in failed["lift", None]
    nothing = judge(write(champion, challenger), guardrail=["click", "save"])
    assert [each.reason for each in nothing.findings if each.rule == "lift"] == [
        "every head is a guardrail, so there is nothing to prove; leave one out"
    ]


def test_a_place_that_cannot_be_written_is_an_error_that_names_it(write, tmp_path):
    (tmp_path / "taken").write_text("")
    code, result, found = run(*write(*frames(1000)), "--save", tmp_path / "taken" / "result.json", cwd=tmp_path)
    assert code == 1 and "--save" in result["error"] and "Traceback" not in found.stderr


def test_days_of_the_rows_are_compared_with_the_days_that_a_file_says_were_learned(write, tmp_path):
    champion, challenger = (frame.assign(day="2026-09-22") for frame in frames())
    paths = write(champion, challenger)
    for path in paths:
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({"mmoe.learned_days": json.dumps(["2026-09-22"])}), path)
    result = judge(paths)
    assert "held-out days unseen" in [each.rule for each in result.findings if each.verdict == "fail"]


def test_dictionaries_nulls_and_absent_rows_of_a_head_are_read_as_what_they_mean(tmp_path):
    table = pa.table({
        "example_id": pa.array(["a", "b", "c", "a"]).dictionary_encode(), "head": ["x", "x", "x", "y"],
        "logit": [0.5, -0.5, 0.1, 2.0], "label": pa.array([True, False, None, True]),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "s.parquet")
    scores = read_score_files([tmp_path], cluster=None, slices=[])
    assert scores.heads == ("x", "y") and scores.example_id.to_pylist() == ["a", "b", "c"]
    assert np.isnan(scores.labels["y"][1:]).all() and scores.labels["y"][0] == 1
    assert scores.final("x").tolist() == [0, 1]
    assert len(scores.model_digest) == 64
