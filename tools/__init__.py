"""Scripts for the developers of this repository. Not part of the installed package."""
