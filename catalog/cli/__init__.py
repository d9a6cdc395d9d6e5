"""The `catalog` command: parse, call one function, write one result."""
