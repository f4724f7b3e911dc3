"""Modules that two or more workflows use."""
