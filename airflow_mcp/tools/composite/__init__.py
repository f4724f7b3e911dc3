"""Answers that need several calls; they may only use the door."""
