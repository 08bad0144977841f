"""From a task to the MLflow run that it made or worked on, and to the page of its day."""

from typing import Any

from airflow.sdk import BaseOperatorLink

PAGE = "/mmoe/mlflow/"
DAYS = "/mmoe/data/"
ABOUT_A_DAY = ("ingest", "validate", "publish")


class MlflowRun(BaseOperatorLink):
    """Leads over the pages' own address, so that it holds wherever MLflow listens when somebody follows it."""

    name = "MLflow run"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        from airflow.sdk.execution_time.xcom import XCom

        result = XCom.get_value(ti_key=ti_key, key="return_value") or {}
        run_id = result.get("run_id") if isinstance(result, dict) else None
        return f"{PAGE}{run_id}" if run_id else ""


class DataQuality(BaseOperatorLink):
    """Everything that was asked of the day's rows, and why the day is in quarantine if it is."""

    name = "Data quality"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        day = operator.options.get("date", "")
        return f"{DAYS}{day}" if operator.command[0] in ABOUT_A_DAY and "{" not in day else ""
