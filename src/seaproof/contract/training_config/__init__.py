"""Training from a config: what it means, shared by the side that checks it and the side that trains by it.

`meaning` is the config; `names` its words; `columns` what data must have for it; `flat` its way through
hyperparameters; `params_json` the dialect of Release ML.
"""
