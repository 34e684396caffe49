"""What the gateway tells about itself: logs and counters. Names of both stand in ``names.py``."""
