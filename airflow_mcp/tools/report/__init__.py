"""Sections of a report on a whole Airflow."""
