"""One file a stage, found by its name; `catalog.stages.STAGES` declares them."""
