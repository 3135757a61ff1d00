"""A saved model behind the container contract: tables in plain CSV and JSON, and the scorer API of H2O's containers.

`columns` makes typed columns of what callers send, `plain` and `scorer` read the two ways of asking, `predictor`
answers them, `pages` has the routes below /model.
"""
