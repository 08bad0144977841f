"""The read-only pages: promotion reports and the state of the lake. They know nothing of Airflow."""

from mmoe.web.actions import Actions, Rollback
from mmoe.web.app import Guards, build_app

__all__ = ["Actions", "Guards", "Rollback", "build_app"]
