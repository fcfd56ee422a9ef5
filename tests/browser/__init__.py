"""What runs in a real Chromium: a package, so that its fixtures end when its last test has run.

Playwright's event loop runs as long as its browser does, and `asyncio.run` fails meanwhile.
"""
