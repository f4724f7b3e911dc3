"""The only room that imports mcp, starlette and uvicorn."""
