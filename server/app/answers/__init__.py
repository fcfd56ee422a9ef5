"""Answers of a model, streamed token by token over a WebSocket or as server-sent events."""
