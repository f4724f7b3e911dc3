"""Run the console script with `python -m airflow_mcp`."""

from airflow_mcp.cli.main import main

if __name__ == "__main__":
    main()
