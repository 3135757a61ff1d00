"""`seaproof pack`: saved files as the model.tar.gz that the platform wants."""

from __future__ import annotations

from pathlib import Path

import click

from seaproof.cli.model_files import lay_out
from seaproof.cli.session import show_json
from seaproof.control import archives


@click.command("pack")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("model.tar.gz"),
    help="The archive to write.  [default: model.tar.gz]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def command(files: tuple[Path, ...], output: Path, as_json: bool) -> None:
    """Pack FILES into a model.tar.gz, laid out as SageMaker hosting unpacks it.

    \b
      seaproof pack model.cbm
      seaproof pack model.txt schema.json inference.py -o churn.tar.gz
      seaproof pack export/

    Files stand at the top of the archive, without a folder around them; inference.py and requirements.txt go into
    code/. One folder alone is taken for the model's folder; beside other files it keeps its name. A schema.json that
    lies beside a single file is packed with it. The same files give the same bytes.

    What hosting would refuse to unpack is refused here: symlinks, pipes, devices, two files of one name.
    """
    entries = lay_out(files)
    output.parent.mkdir(parents=True, exist_ok=True)
    archives.pack(entries, output)
    names = [name for path, name in entries if path.is_file()]
    size = output.stat().st_size
    if as_json:
        show_json({"archive": str(output.absolute()), "bytes": size, "members": names})
        return
    print(f"{output} ({size:,} bytes) holds:")
    for name in names:
        print(f"  {name}")
    print(f"Try it: seaproof serve {output}")
