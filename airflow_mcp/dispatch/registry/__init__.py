"""Which tools exist on which Airflow, for whom."""
