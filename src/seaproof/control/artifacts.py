"""What a training job leaves behind: /opt/ml/model and /opt/ml/output/data, saved where the request says.

    <S3OutputPath>/<job>/output/model.tar.gz    /opt/ml/model of all hosts; absent where it is empty
    <S3OutputPath>/<job>/output/output.tar.gz   /opt/ml/output/data of all hosts; likewise
    <S3OutputPath>/<job>/output/model/...       instead, with CompressionType NONE (and output/data/...)

Saving twice gives the same objects, so a coordinator that was killed in the middle simply saves again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seaproof.contract.opt_ml import OptMl
from seaproof.control.archives import Entries, merge, pack
from seaproof.control.store import Body
from seaproof.storage.storage import Address, Storage, parse_address

_FAILURE_LIMIT = 65_536


def model_uri(request: Body) -> str:
    """Where the model of this request goes: ModelArtifacts.S3ModelArtifacts."""
    output = _output(request)
    return f"{output}/model/" if _as_files(request) else f"{output}/model.tar.gz"


def save(storage: Storage, request: Body, roots: Sequence[Path]) -> list[str]:
    """Save what the hosts left in their /opt/ml (`roots`, in host order); returns what is worth telling.

    StorageError or OSError where that fails; then no half-written object or file is left, and saving can be tried
    again.
    """
    told = _save(storage, request, roots, "model", [OptMl(root).model for root in roots])
    return told + _save(storage, request, roots, "data", [OptMl(root).output_data for root in roots])


def leaves_no_model(roots: Sequence[Path]) -> bool:
    """Whether /opt/ml/model is empty on all hosts: there is then no model.tar.gz, here as on the platform."""
    folders = [OptMl(root).model for root in roots]
    return not any(folder.is_dir() and any(folder.iterdir()) for folder in folders)


def read_failure(root: Path) -> str:
    """The text of output/failure, at most 64 KiB of it; "" where there is none."""
    path = OptMl(root).failure
    if not path.is_file() or not is_inside(root, path):
        return ""
    with path.open("rb") as file:
        return file.read(_FAILURE_LIMIT).decode("utf-8", "replace").strip()


def is_inside(root: Path, path: Path) -> bool:
    """Whether the path really lies below root: a container may put a symlink anywhere in its /opt/ml."""
    return path.resolve().is_relative_to(root.resolve())


def _save(storage: Storage, request: Body, roots: Sequence[Path], name: str, folders: Sequence[Path]) -> list[str]:
    usable = [f for root, f in zip(roots, folders, strict=True) if f.is_dir() and is_inside(root, f)]
    entries, collisions = merge(usable)
    told = [
        f"{where!r} is there on several hosts; the one of the first host was saved, on the platform any may win"
        for where in collisions
    ]
    if not entries:
        return told
    if _as_files(request):
        return told + upload_files(storage, parse_address(f"{_output(request)}/{name}/"), entries)
    archive = "model.tar.gz" if name == "model" else "output.tar.gz"
    packed = roots[0].with_name(f"{roots[0].name}.{archive}")
    try:
        refused = pack(entries, packed)
        storage.upload(packed, parse_address(f"{_output(request)}/{archive}"))
    finally:
        packed.unlink(missing_ok=True)
    return told + [f"{archive}: hosting will refuse {member!r}, which is no file and no folder" for member in refused]


def upload_files(storage: Storage, prefix: Address, entries: Entries) -> list[str]:
    """Each file as an object below the prefix; returns what was passed over, as links are."""
    told = []
    for path, name in entries:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            told.append(f"{name!r} is no file and was not saved")
        elif path.is_file():
            storage.upload(path, Address(prefix.bucket, prefix.key + name))
    return told


def _output(request: Body) -> str:
    folder = str(request["OutputDataConfig"]["S3OutputPath"]).rstrip("/")
    return f"{folder}/{request['TrainingJobName']}/output"


def _as_files(request: Body) -> bool:
    return bool(request["OutputDataConfig"].get("CompressionType") == "NONE")
