"""The broker of one process, on SQLite: in memory, or in a file that outlasts the process."""
