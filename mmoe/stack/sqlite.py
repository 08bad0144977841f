"""What Airflow's connections to its embedded SQLite database are opened with; Airflow imports this by its path."""

LOCK_TIMEOUT_SECONDS = 60
"""SQLite's own 5 s run out on a busy machine: one writer at a time, while every task of a run writes its state."""

CONNECT_ARGS = {"timeout": LOCK_TIMEOUT_SECONDS}
CONNECT_ARGS_PATH = f"{__name__}.CONNECT_ARGS"
