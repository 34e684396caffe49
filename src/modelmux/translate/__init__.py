"""Pure functions from one dialect's structs to the other's. No I/O, no clock, no randomness: ids and times come in."""
