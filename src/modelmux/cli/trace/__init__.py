"""``modelmux trace``: one request, explained."""
