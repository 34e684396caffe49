"""What the bytes look like: schemas and codecs of both dialects. Data only, no decisions, no I/O."""
