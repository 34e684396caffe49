"""The dashboard: pages for people over the operations of the admin API, rendered on the server."""
