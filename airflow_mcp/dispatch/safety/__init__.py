"""Safeguards of a change: its preview, confirmation, rate limit and audit record."""
