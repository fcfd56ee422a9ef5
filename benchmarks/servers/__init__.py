"""The servers that benchmarks/fanout.py compares, each a process of its own."""
