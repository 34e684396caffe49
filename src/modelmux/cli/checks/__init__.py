"""The checks of ``modelmux doctor``, one file a kind. Each yields results as it finds them; nothing is printed here."""
