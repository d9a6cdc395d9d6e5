"""One module per figure; its name is the figure's, its `draw` makes it."""
