"""The whole platform on one machine: Airflow's components and MLflow's UI as local processes on embedded defaults."""
