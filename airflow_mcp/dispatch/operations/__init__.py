"""One operation of Airflow: request, result, and its rows held against policy."""
