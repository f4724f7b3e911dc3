"""`python -m airflow_mcp` is the console script."""

from airflow_mcp.cli.main import main

if __name__ == "__main__":
    main()
