"""Functional roles of neurons: what they are measured by, and the rule (docs/definitions.md)."""
