"""Clients of a lesson's server: the reader's browser, a crowd, a shop."""
