"""Addresses of the rollback: a form that says what will happen, the request itself, and what became of it."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from mmoe.web.actions import Actions, Rollback, refuse_forgery, sign
from mmoe.web.pages import ReadSettings, page
from mmoe.web.rollback_page import read_rollback, rollback_state

NOTHING = "There is no champion with another version to return to."
SECONDS_BETWEEN_LOOKS = "3"


def rollback_router(read_settings: ReadSettings, actions: Actions) -> APIRouter:
    router = APIRouter()
    User = Annotated[str, Depends(actions.user)]  # noqa: N806

    def form(user: str, to: str, problem: str = "", status: int = 200) -> HTMLResponse:
        found = read_rollback(read_settings(), to)
        if found is None:
            return page("message.html", title="Nothing to roll back to", message=NOTHING)
        token = sign(actions.secret(), user, found.number)
        return page("rollback.html", status=status, page=found, token=token, problem=problem)

    @router.get("/rollback")
    def ask(user: User, to: str = "") -> HTMLResponse:
        return form(user, to)

    @router.post("/rollback")
    def start(
        request: Request,
        user: User,
        to: Annotated[str, Form()] = "",
        expected_champion: Annotated[str, Form()] = "",
        token: Annotated[str, Form()] = "",
        reason: Annotated[str, Form()] = "",
    ) -> Response:
        found = read_rollback(read_settings(), to)
        if found is None:
            return form(user, to)
        refuse_forgery(request, token, sign(actions.secret(), user, found.number), actions.hosts())
        if expected_champion != found.champion.record.version:
            return form(user, to, "The champion has changed since this form was opened.", status=409)
        if to not in {target.version for target in found.targets}:
            return form(user, "", f"Version {to!r} cannot be returned to.", status=422)
        if not reason.strip():
            return form(user, to, "Say what is wrong with the champion: the reason is recorded.", status=422)
        wish = Rollback(
            version=to, expected_champion=expected_champion, reason=reason.strip(), number=found.number, actor=user
        )
        run = actions.roll_back(wish)
        return RedirectResponse(f"rollback/{found.number}/{quote(to)}/{quote(run, safe='')}", 303)

    @router.get("/rollback/{number}/{version}/{run:path}")
    def progress(number: int, version: str, run: str) -> HTMLResponse:
        state = rollback_state(read_settings(), number, version)
        answer = page("rollback_progress.html", state=state, run=run)
        if state.state == "waiting":
            answer.headers["Refresh"] = SECONDS_BETWEEN_LOOKS
        return answer

    return router
