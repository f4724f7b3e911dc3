"""Methods to log in to an Airflow, one file each."""
