"""One file a stage, found by its name; `catalog.tables.STAGES` declares them."""
