"""``modelmux config``: one file a sub-command, and what they share."""
