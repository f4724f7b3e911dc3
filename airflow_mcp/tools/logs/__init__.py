"""A task's log, read while it streams by: the decisive error, why a task died, windows, all in bounded memory."""
