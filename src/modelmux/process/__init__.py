"""One gateway process or several: server, drain, reload."""
