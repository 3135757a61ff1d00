"""Saves a pickled scikit-learn model as the MLflow model ./saved.

python save.py FILE
"""

import sys

import joblib
import mlflow.sklearn

mlflow.sklearn.save_model(joblib.load(sys.argv[1]), "saved")
