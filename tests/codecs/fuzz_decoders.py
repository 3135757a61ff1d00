"""Coverage-guided fuzzing of the decoders, by hand: needs `pip install atheris`.

    PYTHONPATH=src:tests/codecs python tests/codecs/fuzz_decoders.py text/csv -max_total_time=300

The first argument is a content type of `codec_seeds.py`, or several joined by `+`; the rest goes to libFuzzer. An input
that makes a decoder raise anything but RequestError, or take over 10 seconds or 2 GiB, is written down as a file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["seaproof.serving.codecs"]):
    from codec_seeds import seeds

    from seaproof.contract.http import parse_media_type
    from seaproof.errors import RequestError
    from seaproof.serving.codecs import decode


def main() -> None:
    """Fuzz the decoders of the content types named until libFuzzer stops."""
    kinds = sys.argv[1].split("+")
    medias = [parse_media_type(kind) for kind in kinds]

    def once(data: bytes) -> None:
        """The first byte chooses among the content types, the rest is the body."""
        if not data:
            return
        try:
            decode(data[1:], medias[data[0] % len(medias)])
        except RequestError as error:
            if error.status >= 500:
                raise

    with tempfile.TemporaryDirectory() as folder:
        for number, kind in enumerate(kinds):
            for count, body in enumerate(seeds()[kind]):
                Path(folder, f"{number}-{count}").write_bytes(bytes([number]) + body)
        options = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=20000"]
        atheris.Setup([sys.argv[0], *options, *sys.argv[2:], folder], once)
        atheris.Fuzz()


main()
