"""What the notebooks about testing use: a chat to test, rooms with a bug, and pytest in a process of its own."""
