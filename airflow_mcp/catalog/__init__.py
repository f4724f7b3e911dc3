"""The tools that exist: manifest entries, their keys, and their arguments as JSON Schema. Pure: no network, no MCP."""
