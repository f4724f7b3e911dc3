"""The embedded default: a real Airflow, installed and started for a newcomer, and an on-call story played on it."""
