"""Registry of the tools that exist on each Airflow, and of those that a caller may use."""
