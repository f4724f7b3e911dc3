"""One operation of Airflow: asked, answered, and its rows held against policy."""
