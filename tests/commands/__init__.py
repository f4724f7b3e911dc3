"""The command line as a person or a script uses it, before a stand-in for Airflow."""
