"""Shipped for tests: the pytest plugin, and the contract suites that every driver, storage and engine must pass."""
