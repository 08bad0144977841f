"""What a page may ask of the server that mounts it, and how a request shows that a person meant it."""

import hashlib
import hmac
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """A person's wish to return to an earlier version."""

    version: str
    expected_champion: str
    reason: str
    number: int
    """Of the promotion record that it would write: a form sent twice asks once."""
    actor: str


@dataclass(frozen=True, kw_only=True)
class Actions:
    """Given by whoever knows the users. Without it the pages only show."""

    guards: Sequence[Any]
    """Dependencies (`Depends(…)`) that refuse whoever may not act."""
    user: Callable[..., Any]
    """A dependency that gives the name of whoever is logged in."""
    may_act: Callable[..., Any]
    """A dependency that says whether they may act, so that a page offers nobody what would be refused."""
    roll_back: Callable[[Rollback], str]
    """Starts it; returns the address of the run that does it, relative to the pages' root."""
    secret: Callable[[], str]
    """A key that this server's processes share."""
    hosts: Callable[[], Collection[str]]
    """Names, with ports, under which browsers know this server, besides the one they ask for."""


def sign(secret: str, user: str, rollback_number: int) -> str:
    """A token that only this server can make, for this user, good until the champion changes."""
    content = f"mmoe rollback\0{user}\0{rollback_number}".encode()
    return hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()


def refuse_forgery(request: Request, token: str, expected: str, hosts: Collection[str]) -> None:
    """403 unless the request comes from a page of this server (its Origin says so) and holds that page's token."""
    origin = request.headers.get("origin", "")
    own = {request.headers.get("host", ""), *hosts} - {""}
    if urlsplit(origin).netloc not in own:
        raise HTTPException(403, "This request does not come from this server's own page.")
    if not hmac.compare_digest(token.encode(), expected.encode()):
        raise HTTPException(403, "The form is out of date: open the rollback page again.")
