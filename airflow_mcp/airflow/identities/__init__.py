"""The ways to prove to an Airflow who is asking, one file each."""
