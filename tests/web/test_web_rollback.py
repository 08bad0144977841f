"""The rollback form: who may press it, what a forged or stale request gets, and what is passed on."""

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from fastapi import Depends, HTTPException
from fastapi.testclient import TestClient
from test_web_pages import words

from mmoe.registry.records import PromotionRecord, Records
from mmoe.settings import Settings
from mmoe.web import Actions, Rollback, build_app

Write = Callable[..., None]
ORIGIN = {"Origin": "http://testserver"}


class Server:
    """Stands for the one that mounts the pages: `ann` may act, others may not."""

    def __init__(self, settings: Settings) -> None:
        self.user, self.asked = "ann", list[Rollback]()
        actions = Actions(
            guards=[Depends(self.refuse)], user=lambda: self.user, may_act=lambda: self.user == "ann",
            roll_back=self.roll_back, secret=lambda: "key", hosts=lambda: ["airflow.example"],
        )  # fmt: skip
        self.client = TestClient(build_app(lambda: settings, None, actions), follow_redirects=False)

    def refuse(self) -> None:
        if self.user != "ann":
            raise HTTPException(403)

    def roll_back(self, wish: Rollback) -> str:
        self.asked.append(wish)
        return "dags/rollback/runs/r1"

    def form(self, **changes: str) -> dict[str, str]:
        html = self.client.get("/rollback").text
        hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html))
        return {**hidden, "to": "1", "reason": "hides went up", **changes}


@pytest.fixture
def server(settings: Settings, write_records: Write, write_version: Write) -> Server:
    """Champion 2, before it 1; version 3 was never champion."""
    write_records()
    for version in ("1", "2", "3"):
        write_version(version)
    return Server(settings)


def test_a_person_who_may_act_is_offered_it_and_their_wish_is_passed_on_whole(server: Server) -> None:
    assert 'href="rollback"' in server.client.get("/promotions").text
    html = server.client.get("/rollback").text
    assert re.findall(r'<option value="(\d)"', html) == ["1", "3"]
    assert '<option value="1" selected>' in html
    answer = server.client.post("/rollback", data=server.form(), headers=ORIGIN)
    assert answer.status_code == 303
    assert answer.headers["location"] == "rollback/4/1/dags%2Frollback%2Fruns%2Fr1"
    assert server.asked == [Rollback(version="1", expected_champion="2", reason="hides went up", number=4, actor="ann")]


def test_a_viewer_is_offered_nothing_and_refused_everything(server: Server) -> None:
    form = server.form()
    server.user = "vera"
    assert 'href="rollback"' not in server.client.get("/promotions").text
    assert server.client.get("/rollback").status_code == 403
    assert server.client.post("/rollback", data=form, headers=ORIGIN).status_code == 403
    assert server.asked == []


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://testserver.evil.example"])
def test_a_request_from_elsewhere_is_refused(server: Server, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin}
    assert server.client.post("/rollback", data=server.form(), headers=headers).status_code == 403
    assert server.asked == []


def test_the_servers_public_name_is_its_own(server: Server) -> None:
    public = {"Origin": "https://airflow.example"}
    assert server.client.post("/rollback", data=server.form(), headers=public).status_code == 303


@pytest.mark.parametrize("token", ["", "0" * 64, "é"])
def test_a_request_without_this_users_token_is_refused(server: Server, token: str) -> None:
    assert server.client.post("/rollback", data=server.form(token=token), headers=ORIGIN).status_code == 403
    assert server.asked == []


def test_a_token_is_of_one_user_and_ends_with_a_change_of_the_champion(server: Server, settings: Settings) -> None:
    form = server.form()
    last = Records(settings).read()[-1]
    Records(settings).write(last.model_copy(update={"number": 4, "state": "done", "version": "3", "replaces": "2"}))
    assert server.client.post("/rollback", data=form, headers=ORIGIN).status_code == 403
    assert server.asked == []


def test_a_stale_champion_an_unknown_version_and_no_reason_are_asked_again(server: Server) -> None:
    for changes, status, problem in (
        ({"expected_champion": "9"}, 409, "The champion has changed"),
        ({"to": "77"}, 422, "cannot be returned to"),
        ({"to": "2"}, 422, "cannot be returned to"),
        ({"reason": "  "}, 422, "the reason is recorded"),
    ):
        answer = server.client.post("/rollback", data=server.form(**changes), headers=ORIGIN)
        assert (answer.status_code, problem in words(answer.text)) == (status, True), changes
    assert server.asked == []


def test_only_a_post_acts(server: Server) -> None:
    form = server.form()
    assert server.client.get("/rollback", params=form).status_code == 200
    assert server.asked == []


def test_progress_waits_then_says_what_became_of_it(server: Server, settings: Settings) -> None:
    path = "/rollback/4/1/dags/rollback/runs/r1"
    waiting = server.client.get(path)
    assert waiting.headers["refresh"] == "3"
    assert "Rolling back to version 1" in waiting.text
    record = PromotionRecord(
        number=4, kind="rollback", state="done", version="1", digest="a" * 64, replaces="2", previous_before="1",
        previous_after=None, actor="ann", reason="hides went up", report=None, at=datetime(2026, 3, 4, tzinfo=UTC),
    )  # fmt: skip
    Records(settings).write(record)
    done = server.client.get(path)
    assert "refresh" not in done.headers
    assert "Rolled back from version 2 by ann at 2026-03-04 00:00 UTC: hides went up" in words(done.text)
    assert "The champion changed in the meantime" in server.client.get("/rollback/4/3/dags/x").text


def test_without_actions_the_pages_only_show(client: TestClient, write_records: Write) -> None:
    write_records()
    assert 'href="rollback"' not in client.get("/promotions").text
    assert client.get("/rollback").status_code == 404
    assert client.post("/rollback", data={}, headers=ORIGIN).status_code == 405
