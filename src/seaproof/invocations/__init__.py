"""The data plane: `flow` decides what is called and what the answer means, `send` is the only network code."""
