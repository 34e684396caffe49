"""``modelmux replay``: a captured request, sent again."""
