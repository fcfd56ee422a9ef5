"""The broker for several processes and machines, on Valkey or Redis."""
