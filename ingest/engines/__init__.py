"""Where the independent parts of a stage are computed: in this process, or on a Ray cluster.

Imports nothing, so that a Ray actor starts without torch and loads it with its first work.
"""
