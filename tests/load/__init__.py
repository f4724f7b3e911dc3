"""Many callers at once, and an Airflow that misbehaves on the wire: what callers get, and what Airflow has done."""
