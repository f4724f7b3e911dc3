"""airflow-mcp: an MCP server that lets an AI assistant operate Apache Airflow well and safely."""
