"""Run a server: in a thread, in processes of its own, or from the command line."""
