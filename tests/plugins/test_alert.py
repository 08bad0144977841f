"""The failure callback and the people who may override, in a process that has Airflow's modules."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from test_step_operator import run_in_airflow


@pytest.fixture
def receiver():
    """An address, and what was posted to it."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", received
    server.shutdown()
    thread.join()
    server.server_close()


SEND = """
    import os
    from types import SimpleNamespace
    from mmoe_airflow.alert import alert
    {environment}
    ti = SimpleNamespace(dag_id="monitoring", task_id="watch", run_id="r1")
    print(json.dumps(alert({{"ti": ti, "exception": ValueError("click: off by 30%")}})))
"""


def test_an_alert_reaches_the_address_with_task_run_and_reason(tmp_path, receiver):
    address, received = receiver
    run_in_airflow(tmp_path, SEND.format(environment=f"os.environ['MMOE_ALERT_URL'] = {address!r}"))
    assert received == [{"text": "monitoring.watch failed in run r1: click: off by 30%"}]


@pytest.mark.parametrize("address", ["", "file:///etc/passwd", "http://127.0.0.1:9/refused"])
def test_without_a_usable_address_the_task_fails_as_it_would_have(tmp_path, address):
    environment = f"os.environ['MMOE_ALERT_URL'] = {address!r}"
    assert run_in_airflow(tmp_path, SEND.format(environment=environment)) is None


def test_who_may_override_is_a_role_or_a_named_user(tmp_path):
    body = """
        import os
        os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = "ada:admin,oto:op, vera:viewer"
        from mmoe_airflow.approve import may_override
        people = ("ada", "oto", "vera", "stranger", "")
        default = [may_override(user) for user in people]
        os.environ["MMOE_OVERRIDE_ROLES"], os.environ["MMOE_OVERRIDE_USERS"] = "Op", "stranger, 17"
        print(json.dumps([default, [may_override(user) for user in people]]))
    """
    assert run_in_airflow(tmp_path, body) == [
        [True, False, False, False, False],
        [False, True, False, True, False],
    ]


def test_under_another_auth_manager_only_named_users_may(tmp_path):
    body = """
        import os
        os.environ["AIRFLOW__CORE__AUTH_MANAGER"] = "some.other.Manager"
        os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = "ada:admin"
        os.environ["MMOE_OVERRIDE_USERS"] = "17"
        from mmoe_airflow.approve import may_override
        print(json.dumps([may_override("ada"), may_override("17")]))
    """
    assert run_in_airflow(tmp_path, body) == [False, True]


def test_a_cleared_approval_is_not_asked_again(tmp_path):
    body = """
        from types import SimpleNamespace
        from mmoe_airflow.approve import AskOnce
        task = AskOnce(task_id="approval", subject="Promote?", defaults="Reject")
        try:
            task.execute({"ti": SimpleNamespace(try_number=2)})
        except AirflowFailException as error:
            print(json.dumps(str(error)))
    """
    assert "does not ask again, so nothing is promoted" in run_in_airflow(tmp_path, body)


@pytest.mark.parametrize(("user", "barred"), [("ada", ""), ("oto", "True")])
def test_promotion_is_told_who_answered_and_whether_they_may_override(tmp_path, user, barred):
    body = f"""
        import os
        os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] = "ada:admin,oto:op"
        class TI:
            def xcom_pull(self, task_ids):
                return {{"chosen_options": ["Approve"], "params_input": {{"override_reason": "launch"}},
                         "responded_by_user": {{"id": {user!r}, "name": {user!r}}}}}
        task = Promote(task_id="promote", command=["promote-plan"], approval_task="approval")
        Step.execute = lambda self, context: self.options
        print(json.dumps(task.execute({{"ti": TI()}})))
    """
    assert run_in_airflow(tmp_path, body) == {"actor": user, "override-reason": "launch", "barred": barred}
