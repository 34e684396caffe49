"""``modelmux doctor``: one file a kind of check. Each yields results as it gets them; only the command prints."""
