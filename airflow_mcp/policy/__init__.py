"""Policy: the decision whether a call may happen. Pure functions."""
