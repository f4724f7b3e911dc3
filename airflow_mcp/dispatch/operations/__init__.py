"""One Airflow operation: its request, its result, and the filtering of its rows by policy."""
