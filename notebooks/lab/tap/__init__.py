"""Record a TCP connection, read what it said, and cut it."""
