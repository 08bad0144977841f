"""Answers of the plugin's pages inside Airflow's own application, as JSON: {path: [anonymous, viewer, nobody's token]}.

Runs in a process of its own: Airflow reads its environment at import.
"""

import json
import sys

from airflow import plugins_manager

plugins_manager.ensure_plugins_loaded()
heavy = sorted({"mmoe.web", "fastapi", "pyarrow", "mlflow", "torch"} & set(sys.modules))

from airflow.api_fastapi.app import create_app, get_auth_manager  # noqa: E402
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser  # noqa: E402
from airflow.utils.db import initdb  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402

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
views = [view for plugin in plugins_manager.get_plugin_info() for view in plugin["external_views"]]
print(json.dumps({"heavy": heavy, "answers": answers, "views": views, "errors": plugins_manager.get_import_errors()}))
