"""`make demo`: the main job, end to end, driven through a real Airflow's REST API as a person would drive it."""
