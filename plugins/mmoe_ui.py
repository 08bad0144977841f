"""Puts the model promotions and data pages into Airflow's UI. Every Airflow process imports this: keep it light."""

from airflow.plugins_manager import AirflowPlugin

from mmoe_airflow.pages import GuardedPages

PREFIX = "mmoe"


class MmoeUi(AirflowPlugin):
    """Two pages in the navigation, and each training run's report as a tab of that run."""

    name = "mmoe_ui"
    fastapi_apps = [{"app": GuardedPages(), "url_prefix": f"/{PREFIX}", "name": "mmoe"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Model promotions",
            "href": f"{PREFIX}/promotions",
            "destination": "nav",
            "category": "browse",
            "url_route": "model-promotions",
        },
        {
            "name": "Data",
            "href": f"{PREFIX}/data",
            "destination": "nav",
            "category": "browse",
            "url_route": "engagement-data",
        },
        {
            "name": "Promotion report",
            "href": f"{PREFIX}/runs/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "promotion-report",
        },
    ]
