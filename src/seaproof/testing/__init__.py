"""Shipped for tests: the contract suites that every driver, storage and engine must pass."""
