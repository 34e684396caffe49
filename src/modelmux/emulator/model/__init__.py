"""The emulated model: reads a prompt, writes a deterministic reply, signs thinking, counts tokens and cache use."""
