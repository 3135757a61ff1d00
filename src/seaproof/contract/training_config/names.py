"""The words of a training config: tasks, algorithms and metrics, each said once with what it means."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

CLASSIFICATION, REGRESSION = "classification", "regression"
TASKS = (CLASSIFICATION, REGRESSION)


@dataclass(frozen=True)
class Algorithm:
    """One algorithm that a config can name."""

    package: str
    """What the image must have, as pip calls it."""
    words: str
    """What it is, for people who know little machine learning; follows "a model called X: ..."."""
    early_stopping: bool = False
    """Whether it is built round by round, so that it can stop when rounds no longer help."""


ALGORITHMS = {
    "catboost": Algorithm(
        "catboost",
        "several hundred small decision trees, each correcting those before it; good with categories",
        True,
    ),
    "xgboost": Algorithm("xgboost", "small decision trees, each correcting those before it", True),
    "lightgbm": Algorithm(
        "lightgbm", "small decision trees, each correcting those before it; fast on large tables", True
    ),
    "boosting": Algorithm(
        "scikit-learn", "scikit-learn's own small decision trees, each correcting those before it", True
    ),
    "forest": Algorithm("scikit-learn", "a hundred decision trees, each on a random part of the rows, that vote"),
    "tree": Algorithm("scikit-learn", "one decision tree: a list of yes-or-no questions about the columns"),
    "linear": Algorithm("scikit-learn", "every column gets a weight, and the weighted sum decides"),
}
# What people call them elsewhere; never accepted, but known well enough to say the right word.
ALSO_CALLED = {
    "logistic_regression": "linear",
    "linear_regression": "linear",
    "ridge": "linear",
    "random_forest": "forest",
    "decision_tree": "tree",
    "gradient_boosting": "boosting",
    "hist_gradient_boosting": "boosting",
    "gbm": "boosting",
    "xgb": "xgboost",
    "lgbm": "lightgbm",
    "auc": "roc_auc",
    "average_precision": "pr_auc",
    "logloss": "log_loss",
    "f1_score": "f1",
    "mse": "rmse",
    "r2_score": "r2",
    "hl": "hosmer_lemeshow",
}


# Where keys stand that are often written elsewhere.
PLACES = {
    **dict.fromkeys(("folds",), "cross_validation"),
    **dict.fromkeys(("rounds",), "early_stopping"),
    **dict.fromkeys(("stratify", "by", "test_values", "validation"), "split"),
    **dict.fromkeys(("header", "separator", "missing", "train", "columns"), "data"),
    **dict.fromkeys(
        ("iterations", "n_estimators", "max_depth", "depth", "learning_rate", "num_leaves", "max_iter", "C", "alpha"),
        "model_params",
    ),
}


@dataclass(frozen=True)
class Metric:
    """One metric that a config can name."""

    task: str
    words: str
    two_classes: bool = False
    """Whether it is defined for two classes only."""


METRICS = {
    "roc_auc": Metric(
        CLASSIFICATION, "how often a row of the one class is put above a row of the other: 0.5 is chance, 1 is perfect"
    ),
    "pr_auc": Metric(CLASSIFICATION, "average precision over all thresholds; tells more than roc_auc of rare classes"),
    "accuracy": Metric(CLASSIFICATION, "share of rows whose class is predicted right"),
    "f1": Metric(CLASSIFICATION, "precision and recall in one number, from 0 to 1"),
    "precision": Metric(CLASSIFICATION, "of the rows predicted positive, the share that are"),
    "recall": Metric(CLASSIFICATION, "of the rows that are positive, the share that are found"),
    "log_loss": Metric(CLASSIFICATION, "how wrong the probabilities are; 0 is perfect"),
    "lift": Metric(
        CLASSIFICATION, "how many times more positive rows the top tenth holds than a tenth drawn blindly", True
    ),
    "hosmer_lemeshow": Metric(
        CLASSIFICATION,
        "how far probabilities are from what happened, over ten groups of rows (chi-squared)",
        True,
    ),
    "calibration": Metric(
        CLASSIFICATION, "mean distance of predicted probability and observed share, over ten groups of rows", True
    ),
    "rmse": Metric(REGRESSION, "the error in the target's own unit, large errors counted more"),
    "mae": Metric(REGRESSION, "the mean error in the target's own unit"),
    "r2": Metric(
        REGRESSION, "share of the target's variation that is explained: 1 is perfect, 0 no better than the mean"
    ),
}


def guess(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or ""."""
    words = list(known)
    plain = {_plain(one): one for one in reversed(words)}
    meant = ALSO_CALLED.get(word.lower().replace("-", "_").replace(" ", "_"), "")
    if meant in words:
        return meant
    near = difflib.get_close_matches(_plain(word), plain, n=1, cutoff=0.7)
    return plain[near[0]] if near else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence with the word that was probably meant, or ""."""
    meant = guess(word, known)
    return f"Did you mean `{meant}`?" if meant else ""


def _plain(word: str) -> str:
    """A word without what people leave out or write otherwise."""
    return "".join(char for char in word.lower() if char.isalnum()) or word
