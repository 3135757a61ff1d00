"""The handler of all models: a model is a number in a file, which each cell of the CSV is multiplied with."""

from pathlib import Path

FACTOR = []


def handle(data, context):
    if data is None:
        FACTOR[:] = [float(Path(context.system_properties["model_dir"], "factor").read_text())]
        return None
    context.set_response_content_type(0, "text/csv")
    rows = bytes(data[0]["body"]).decode().split()
    return ["".join(",".join(f"{float(x) * FACTOR[0]:g}" for x in row.split(",")) + "\n" for row in rows)]
