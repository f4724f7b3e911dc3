"""Everything an operator may decide."""
