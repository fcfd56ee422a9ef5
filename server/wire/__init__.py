"""What is sent over a connection, and when: protocols for uvicorn, ready-made frames, bounded outboxes."""
