"""The core of the live table on more versions of Airflow: `make test-matrix`. Not collected with the other tests."""
