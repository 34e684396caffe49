"""``modelmux demo``: everything working, offline."""
