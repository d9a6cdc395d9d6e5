"""The activation stage: one forward pass over a corpus serves every neuron (docs/definitions.md).

`contexts` cuts the corpus into units, `hooks` taps the MLPs of a model, `kernel` reads gate, in
and post once for all four sign cases, `state` keeps the running statistics and top-k and merges
them exactly, `run` drives the pass and resumes it, `tables` turns a state into Arrow.
"""
