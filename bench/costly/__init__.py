"""The requests that cost the most CPU time for their size."""
