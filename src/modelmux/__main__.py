"""``python -m modelmux``."""

from modelmux.cli.main import main

main()
