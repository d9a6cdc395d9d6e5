"""Descriptions of neurons: read from what other tools write, or written by a person.

`formats` has one function for each format; `files` reads lines, tables and folders within bounds;
`importing` matches models and neurons and loads what is new.
"""
