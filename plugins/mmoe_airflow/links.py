"""From a task to the MLflow run that it made or worked on."""

from typing import Any

from airflow.sdk import BaseOperatorLink

PAGE = "/mmoe/mlflow/"


class MlflowRun(BaseOperatorLink):
    """Leads over the pages' own address, so that it holds wherever MLflow listens when somebody follows it."""

    name = "MLflow run"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        from airflow.sdk.execution_time.xcom import XCom

        result = XCom.get_value(ti_key=ti_key, key="return_value") or {}
        run_id = result.get("run_id") if isinstance(result, dict) else None
        return f"{PAGE}{run_id}" if run_id else ""
