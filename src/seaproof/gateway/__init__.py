"""The gateway: `seaproof pipeline`, one request through containers of any make, in order."""
