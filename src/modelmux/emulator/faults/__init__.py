"""Faults on request: directives in a prompt, scenario files, and what each fault does to a reply."""
