"""Around a change: what it would touch, whether it is confirmed, how often it may come, the trail that it leaves."""
