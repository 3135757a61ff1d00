"""The local server's pages: what runs here, for eyes. Rendered on the server, without a script, over the public API."""
