"""A container of a saved model before it answers: without one, and while that is loaded."""

from __future__ import annotations

from pathlib import Path

from format_lab import Container, free_port, model_folder, soon

from seaproof.formats.schema import Field, Schema, write_schema


def test_without_a_model_the_container_says_so_and_ends_with_1(tmp_path: Path) -> None:
    model_folder(tmp_path)
    container = Container(tmp_path, free_port()).restart()

    assert container.wait(60) == 1
    assert "no saved model" in container.log


def test_ping_is_504_before_the_model_is_loaded_and_200_after(tmp_path: Path) -> None:
    gate = tmp_path / "go"
    (model_folder(tmp_path) / "model.py").write_text(
        f"import pathlib, time\ndef load(model_dir):\n    while not pathlib.Path({str(gate)!r}).exists():\n"
        "        time.sleep(0.01)\ndef predict(columns, loaded):\n    return columns['age']\n"
    )
    write_schema(model_folder(tmp_path), Schema("", (Field("age", "float"),), ()))
    container = Container(tmp_path, free_port()).restart()
    try:
        early = soon(lambda: _asked(container))
        gate.touch()
        soon(container.answers, 60)

        assert early == (504, "the model is loading")
        assert container.invoke('{"age": "3"}', "application/octet-stream").json == {"prediction": "3.0"}
    finally:
        assert container.process is not None
        container.process.kill()
        container.process.wait()


def _asked(container: Container) -> tuple[int, str] | None:
    try:
        reply = container.get("/ping")
    except ConnectionRefusedError:  # the program itself is still starting
        return None
    return reply.status, reply.json["error"]
