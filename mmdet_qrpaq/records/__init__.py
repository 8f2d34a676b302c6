"""What a measurement leaves behind: JSON with a schema, its provenance, its tables.

Used by analyses, sweeps and benchmarks alike. Nothing here imports torch before it is
needed.
"""
