"""``modelmux doctor``: one file for each kind of check. Checks yield results; only the command prints them."""
