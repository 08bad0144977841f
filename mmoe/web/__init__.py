"""The read-only pages: promotion reports and the state of the lake. They know nothing of Airflow."""

from mmoe.web.app import Guards, build_app

__all__ = ["Guards", "build_app"]
