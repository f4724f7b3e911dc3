"""Dispatch of tool calls: from a tool's name and arguments to its answer."""
