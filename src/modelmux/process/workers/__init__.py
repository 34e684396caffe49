"""Several worker processes behind one supervisor."""
