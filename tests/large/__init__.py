"""A large Airflow, played back in this process from generated rows."""
