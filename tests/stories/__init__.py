"""Failures as people meet them: two seeded Airflows, what is true of each story, and whether the answers say it."""
