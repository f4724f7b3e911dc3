"""Replicas behind nginx that share Redis: all of them real processes on loopback. `make test-services` runs these."""
