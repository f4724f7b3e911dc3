"""What exists: the manifest entries, their words, and their arguments as JSON Schema. Pure: no network, no MCP."""
