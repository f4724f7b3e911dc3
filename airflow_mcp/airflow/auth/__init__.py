"""Ways to log in to an Airflow, a file each."""
