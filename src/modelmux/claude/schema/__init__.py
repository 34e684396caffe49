"""JSON Schema and the strict subset that Claude enforces."""
