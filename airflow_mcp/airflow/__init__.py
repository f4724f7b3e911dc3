"""Access to Airflow over HTTP: the only room that imports the HTTP client."""
