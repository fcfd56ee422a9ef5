"""The lessons in a browser without an install."""
