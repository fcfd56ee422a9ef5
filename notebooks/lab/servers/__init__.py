"""Servers that an experiment runs beside the notebook."""
