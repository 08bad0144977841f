"""Puts the model promotions and data pages into Airflow's UI. Every Airflow process imports this: keep it light."""

from airflow.plugins_manager import AirflowPlugin

from mmoe_airflow.pages import GuardedPages

PREFIX = "mmoe"
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='{stroke}' "
    "stroke-width='1.6' stroke-linecap='round' stroke-linejoin='round'%3E%3Cpath d='{path}'/%3E%3C/svg%3E"
)
STROKE = "%237a91ad"  # readable on the navigation's light, dark and selected backgrounds
RISING = "M3 17l6-6 4 4 8-9M15 6h6v6"
BARS = "M4 20V11M9 20V6M14 20v-7M19 20V4"


class MmoeUi(AirflowPlugin):
    """Two pages in the navigation, and each training run's report as a tab of that run."""

    name = "mmoe_ui"
    fastapi_apps = [{"app": GuardedPages(), "url_prefix": f"/{PREFIX}", "name": "mmoe"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Model promotions",
            "href": f"{PREFIX}/promotions",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "model-promotions",
            "icon": ICON.format(stroke=STROKE, path=RISING),
        },
        {
            "name": "Data",
            "href": f"{PREFIX}/data",
            "destination": "nav",
            "nav_top_level": True,
            "url_route": "engagement-data",
            "icon": ICON.format(stroke=STROKE, path=BARS),
        },
        {
            "name": "Report",
            "href": f"{PREFIX}/runs/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "promotion-report",
        },
    ]
