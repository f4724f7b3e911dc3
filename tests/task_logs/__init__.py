"""Logs of tasks that failed, each with what is true of it."""
