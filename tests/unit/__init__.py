"""The engine, tested as its users meet it: an MCP client in memory, the real server, and a stand-in for Airflow."""
