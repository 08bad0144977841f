"""The retention page, over HTTP."""

from datetime import date

import pytest
from fastapi.testclient import TestClient
from test_web_pages import words

from mmoe.lake.audit import AuditReport, Unseen, Walked, save_audit
from mmoe.lake.horizon import Horizon
from mmoe.lake.ledger import Expired
from mmoe.lake.manifest import to_json
from mmoe.lake.store import Store
from mmoe.registry.windows import MODELS_KEY, LearnedModel, LearnedModels

AS_OF = date(2026, 3, 17)
REPORT = AuditReport(
    as_of=AS_OF, horizon=Horizon(day=date(2026, 3, 3)), readable=(), overdue=(), undated=(), holds=(), problems=(),
    walked=(Walked(name="lake", where="/home/lake", files=12, bytes=4_200_000, oldest=date(2026, 3, 2),
                   newest=date(2026, 3, 6), past_versions=3),),
    ledger_entries=2, ledger_head="e" * 64,
)  # fmt: skip
STUDENT = LearnedModel(
    version="7", stage="batch", aliases=("champion",), own=(date(2026, 3, 3), date(2026, 3, 4)), inherited=(),
    taught=(date(2026, 2, 27), date(2026, 2, 28), date(2026, 3, 5)),
)  # fmt: skip


def save_models(store: Store, limit: int | None, *models: LearnedModel) -> None:
    store.write_bytes(MODELS_KEY, to_json(LearnedModels(as_of=AS_OF, max_age_days=limit, models=models)))


def test_before_the_first_run_the_page_says_what_will_be_there(client: TestClient) -> None:
    text = words(client.get("/retention").text)
    for words_of in ("Nothing has expired yet", "No audit has run yet", "weights are not unlearned", "mmoe hold add"):
        assert words_of in text


@pytest.mark.usefixtures("full_lake")
def test_horizons_stores_holds_and_ledger_are_shown(client: TestClient, store: Store) -> None:
    save_audit(store, REPORT)
    page = client.get("/retention").text
    text = words(page)
    assert (
        "2026-03-03 horizon: first readable day 2026-03-06 horizon of search clean last audit, as of 2026-03-17" in text
    )
    assert "lake 12 4.2 MB 3 2026-03-02 2026-03-06 /home/lake" in text
    assert "2026-03-02 to 2026-03-02 all &lt;i&gt;legal&lt;/i&gt; 2026-06-30 blocks" in text
    assert "0 expired 2026-03-17 2026-03-03 2 40 000 2.5 MB" in text
    assert "case 17" not in page


@pytest.mark.usefixtures("full_lake")
def test_what_an_audit_found_comes_first(client: TestClient, store: Store) -> None:
    left = Expired(kind="scores", day=date(2026, 3, 1), files=1, bytes=10)
    save_audit(store, REPORT.model_copy(update={"readable": (left,), "undated": ("home:work/x.csv",)}))
    text = words(client.get("/retention").text)
    assert "2 found last audit" in text
    assert "scores of 2026-03-01 is still readable." in text
    assert "home:work/x.csv holds rows of no known day" in text


@pytest.mark.usefixtures("full_lake")
def test_files_that_could_not_be_looked_into_are_named_and_alarm_where_no_day_is_known(
    client: TestClient, store: Store
) -> None:
    unseen = Unseen(key="landing:dt=2026-03-03/x.zip", day=date(2026, 3, 3), dated=True)
    save_audit(store, REPORT.model_copy(update={"unseen": (unseen,)}))
    text = words(client.get("/retention").text)
    assert "clean last audit" in text
    assert "landing:dt=2026-03-03/x.zip cannot be looked into: it goes as a whole once 2026-03-03" in text
    assert "nothing is overdue; the files named above could not be looked into" in text
    save_audit(store, REPORT.model_copy(update={"unseen": (unseen.model_copy(update={"dated": False}),)}))
    assert "1 found last audit" in words(client.get("/retention").text)


@pytest.mark.usefixtures("full_lake")
def test_versions_that_learned_expired_days_are_listed_and_an_old_champion_is_flagged(
    client: TestClient, store: Store
) -> None:
    save_models(store, None, STUDENT)
    text = words(client.get("/retention").text)
    assert "7 batch champion 2026-03-03 to 2026-03-04 2026-03-03 14 2 2" in text
    assert "No maximum model age is set" in text
    save_models(store, 13, STUDENT)
    assert "Version 7 (champion) is older than allowed" in words(client.get("/retention").text)
    save_models(store, 14, STUDENT)
    assert "older than allowed" not in words(client.get("/retention").text)


@pytest.mark.usefixtures("full_lake")
def test_a_broken_ledger_is_shown_beside_everything_else(client: TestClient, store: Store) -> None:
    save_audit(store, REPORT)
    chain = (store.read_bytes("_retention/ledger.jsonl") or b"").splitlines(keepends=True)
    store.write_bytes("_retention/ledger.jsonl", chain[1])
    text = words(client.get("/retention").text)
    assert "chain broken" in text
    assert "/home/lake" in text
