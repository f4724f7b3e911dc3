"""The demo: installs and starts a real Airflow for a newcomer, and plays an on-call story on it."""
