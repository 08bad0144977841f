"""Run in a process of its own: parse every DAG file and print what it holds, and which heavy modules that loaded."""

import json
import sqlite3
import sys
from pathlib import Path

HEAVY = ("torch", "mlflow", "pyarrow", "great_expectations", "pandas", "scipy", "sklearn", "dvc")


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("a DAG file opened the metadata database while it was parsed")


def main(folder: str) -> None:
    import airflow
    from airflow.dag_processing.dagbag import DagBag

    before = set(sys.modules)
    sqlite3.connect = refuse
    bag = DagBag(dag_folder=folder)
    loaded = sorted(name for name in HEAVY if name in set(sys.modules) - before)
    dags = {
        dag_id: {
            "tasks": {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks},
            "retries": {task.task_id: task.retries for task in dag.tasks},
            "timeouts": {task.task_id: task.execution_timeout is not None for task in dag.tasks},
            "minutes": {
                task.task_id: task.execution_timeout.total_seconds() / 60
                for task in dag.tasks
                if task.execution_timeout is not None
            },
            "weights": {task.task_id: task.priority_weight for task in dag.tasks},
            "pools": {task.task_id: task.pool for task in dag.tasks},
            "tags": sorted(dag.tags),
            "doc": bool(dag.doc_md),
            "params": sorted(dag.params),
            "deadlines": [
                [alert.reference.reference_name, alert.interval.total_seconds() / 3600, alert.callback.path]
                for alert in dag.deadline or ()
            ],
            "max_active_runs": dag.max_active_runs,
            "catchup": dag.catchup,
            "lines": len(Path(dag.fileloc).read_text().splitlines()),
        }
        for dag_id, dag in bag.dags.items()
    }
    errors = {str(path): str(error) for path, error in bag.import_errors.items()}
    print(json.dumps({"dags": dags, "errors": errors, "heavy": loaded, "airflow": airflow.__version__}))


if __name__ == "__main__":
    main(sys.argv[1])
