"""The catalog's file: opening it, reading it, upgrading it, loading rows into it."""
