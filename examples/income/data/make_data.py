"""Makes train.csv and held_out.csv from UCI's files adult.data and adult.test; the same bytes every time.

python make_data.py FOLDER      FOLDER holds adult.data and adult.test
"""

from __future__ import annotations

import csv
import hashlib
import random
import sys
from pathlib import Path

# Every column of the source, in its order; None leaves one out (see README.md for why).
SOURCE_COLUMNS = (
    "age",
    "workclass",
    None,  # fnlwgt
    "education",
    None,  # education-num
    "marital_status",
    "occupation",
    "relationship",
    None,  # race
    None,  # sex
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    None,  # native-country
    "income",
)
FILES = {
    "train.csv": ("adult.data", "5b00264637dbfec36bdeaab5676b0b309ff9eb788d63554ca0a249491c86603d", 5000),
    "held_out.csv": ("adult.test", "a2a9044bc167a35b2361efbabec64e89d69ce82d9790d2980119aac5fd7e9c05", 1500),
}
SEED = 1994


def source_rows(path: Path, sha256: str) -> list[list[str]]:
    """The file's rows, label first, columns of the example only; a missing value is an empty cell."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SystemExit(f"{path} is not the file that UCI publishes: its SHA-256 differs")
    rows = []
    for cells in csv.reader(content.decode("ascii").splitlines(), skipinitialspace=True):
        if len(cells) != len(SOURCE_COLUMNS):
            continue  # a blank last line; adult.test begins with a remark
        named = {name: "" if cell == "?" else cell for name, cell in zip(SOURCE_COLUMNS, cells, strict=True) if name}
        label = named.pop("income").rstrip(".")  # adult.test ends its labels with a full stop
        rows.append([label, *named.values()])
    return rows


def main(folder: Path) -> None:
    """Write the two files beside this script."""
    header = ["income", *(name for name in SOURCE_COLUMNS if name and name != "income")]
    for name, (source, sha256, count) in FILES.items():
        rows = random.Random(SEED).sample(source_rows(folder / source, sha256), count)
        with Path(__file__).with_name(name).open("w", newline="", encoding="ascii") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
