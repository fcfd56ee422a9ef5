"""Run the reader's code against real clients, with deadlines, or on a clock that jumps."""
