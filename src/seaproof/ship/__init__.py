"""The way out: a plan of calls as data, and what executes it; the same requests go to this machine or to AWS."""
