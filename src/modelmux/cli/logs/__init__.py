"""``modelmux logs``: the log files."""
