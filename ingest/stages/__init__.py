"""The stages of an ingest: what each computes for a layer, and how it says so."""
