"""The documentation of the wire protocol, generated from the models."""
