"""One module per command, each with a `command`; only light imports at their top."""
