"""Answers: records in the catalog's names, with secrets masked, within a budget of characters."""
