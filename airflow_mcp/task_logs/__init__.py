"""A task's log, read while it streams by: the decisive error, why a process ended, windows, all in bounded memory."""
