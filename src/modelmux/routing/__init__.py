"""Pure decisions over a snapshot: which deployment, and whether to try again. No clock, no randomness, no I/O."""
