"""The only wiring: one function a pipeline step. Steps take ids and dates and return small dictionaries."""
