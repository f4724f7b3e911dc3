"""The MCP server: the only package that imports mcp, starlette and uvicorn."""
