"""Answers of the plugin's pages inside Airflow's own application, as JSON: {path: [anonymous, viewer, nobody's token]}.

Runs in a process of its own: Airflow reads its environment at import.
"""

import json
import re
import sys
from pathlib import Path

from airflow import plugins_manager

plugins_manager.ensure_plugins_loaded()
heavy = sorted({"mmoe.web", "fastapi", "pyarrow", "mlflow", "torch"} & set(sys.modules))

from airflow.api_fastapi.app import create_app, get_auth_manager  # noqa: E402
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser  # noqa: E402
from airflow.models import DagRun  # noqa: E402
from airflow.utils.db import initdb  # noqa: E402
from airflow.utils.session import create_session  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402
from httpx import Response  # noqa: E402
from sqlalchemy import select  # noqa: E402

initdb()
client = TestClient(create_app("core"), follow_redirects=False)
token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="viewer", role="viewer"))


def status(path: str, **credentials: dict[str, str]) -> int:
    client.cookies.clear()
    client.cookies.update(credentials.get("cookies", {}))
    return client.get(path, headers=credentials.get("headers")).status_code


answers = {
    path: [
        status(path),
        status(path, headers={"Authorization": f"Bearer {token}"}),
        status(path, cookies={"_token": token}),
        status(path, headers={"Authorization": "Bearer forged"}),
    ]
    for path in sys.argv[1:]
}


def ask(method: str, path: str, role: str | None, data: dict[str, str] | None = None, **headers: str) -> Response:
    """A request as a browser with this role's cookie sends it."""
    client.cookies.clear()
    if role:
        user = SimpleAuthManagerUser(username=f"the-{role}", role=role)
        client.cookies.set("_token", get_auth_manager().generate_jwt(user))
    return client.request(method, path, data=data, headers=headers)


def press_the_button() -> dict[str, object]:
    """What the rollback form answers to each role, and the run that it leaves."""
    sync_rollback_dag()
    html = ask("GET", "/mmoe/rollback", "op").text
    form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html)) | {"to": "1", "reason": "worse"}
    own = {"Origin": "http://testserver"}
    refused = {
        str(role): [
            ask("GET", "/mmoe/rollback", role).status_code,
            ask("POST", "/mmoe/rollback", role, form, **own).status_code,
        ]
        for role in (None, "viewer")
    }
    refused["op from elsewhere"] = [ask("POST", "/mmoe/rollback", "op", form, Origin="http://evil").status_code]
    refused["user with op's token"] = [ask("POST", "/mmoe/rollback", "user", form, **own).status_code]
    offered = {role: "rollback" in ask("GET", "/mmoe/promotions", role).text for role in ("viewer", "op")}
    done = [ask("POST", "/mmoe/rollback", "op", form, **own) for _ in range(2)]
    with create_session() as session:
        runs = [(run.run_id, run.triggering_user_name, run.conf) for run in session.scalars(select(DagRun))]
    answers = [(answer.status_code, answer.headers.get("location")) for answer in done]
    return {"refused": refused, "offered": offered, "answers": answers, "runs": runs}


def sync_rollback_dag() -> None:
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel

    with create_session() as session:
        session.add(DagBundleModel(name="dags"))
    bag = DagBag(str(Path(__file__).parents[2] / "dags" / "rollback.py"), bundle_name="dags")
    sync_bag_to_db(bag, "dags", None)


button = press_the_button()
views = [view for plugin in plugins_manager.get_plugin_info() for view in plugin["external_views"]]
errors = plugins_manager.get_import_errors()
print(json.dumps({"heavy": heavy, "answers": answers, "views": views, "errors": errors, "button": button}))
