"""The messages that wait for one connection: bounded queues, and two ways to send them."""
