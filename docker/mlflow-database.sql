-- Run once, when the PostgreSQL volume is empty.
CREATE DATABASE mlflow;
