"""Training: SageMaker runs `train(job)` once; what it leaves in job.model_dir becomes model.tar.gz.

The model is a nearest-centroid classifier in plain Python, so that the project runs anywhere. Put your own
library in its place, and add it to requirements.txt.
"""

import csv
import json


def train(job):
    shrink = job.hyperparameter("shrink", float, default=0.0)
    rows = [row for file in job.files("training", "*.csv") for row in csv.reader(file.open())]
    labels = [row[0] for row in rows]
    points = [[float(cell) for cell in row[1:]] for row in rows]

    overall = mean(points)
    centroids = {}
    for label in sorted(set(labels)):
        centre = mean([point for point, own in zip(points, labels) if own == label])
        centroids[label] = [(1 - shrink) * c + shrink * o for c, o in zip(centre, overall)]

    right = sum(nearest(centroids, point) == label for point, label in zip(points, labels))
    print(f"rows={len(rows)}")
    print(f"accuracy={right / len(rows):.4f}")
    (job.model_dir / "centroids.json").write_text(json.dumps(centroids))


def mean(points):
    return [sum(column) / len(points) for column in zip(*points)]


def nearest(centroids, point):
    return min(centroids, key=lambda label: sum((a - b) ** 2 for a, b in zip(centroids[label], point)))
