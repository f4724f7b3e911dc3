"""One call of one tool, from its name and arguments to its answer."""
