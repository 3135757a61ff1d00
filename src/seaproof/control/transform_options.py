"""What a transform job can do here beyond the platform: asked for by tags, which on AWS are labels without effect.

Any client can set tags; no field of the API is bent for it, and the same request is fit for AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from seaproof.contract.environ import is_true
from seaproof.errors import ServiceError

PREFIX = "seaproof:"
ENGINES = ("threads", "ray")
OUTPUT = ("repeat_header", "quoted_newlines", "target_model")
"""Options that decide what the output is: a job that goes on with another has them as that one has."""


@dataclass(frozen=True)
class Options:
    """Each is the tag `seaproof:<name>`, underscores written as hyphens."""

    repeat_header: bool = False
    """Repeat the first line of each object in each of its requests, and leave it out of the output."""
    quarantine: bool = False
    """Put records that fail aside, with line number and reason, and go on without them."""
    quoted_newlines: bool = False
    """A line end between double quotes does not end a record."""
    spread: bool = False
    """Spread the requests of each object over all instances, instead of whole objects."""
    resume: str = ""
    """A job that ended without being complete, to go on from where it was."""
    engine: str = "threads"
    """Where the work is done: `threads`, or `ray`."""
    target_model: str = ""
    """The model to be asked, where the container has many."""

    @classmethod
    def read(cls, tags: Mapping[str, str]) -> Options:
        """Of a job's tags. ValidationException for one that begins with `seaproof:` and is not known."""
        known = {tag_of(field.name): field for field in fields(cls)}
        values: dict[str, bool | str] = {}
        for key, text in tags.items():
            if not key.startswith(PREFIX):
                continue
            field = known.get(key)
            if field is None:
                raise ServiceError(
                    "ValidationException",
                    f"There is no option {key}. Options are: {', '.join(known)}.",
                )
            values[field.name] = is_true(text) if field.type == "bool" else text
        options = cls(**values)  # type: ignore[arg-type]
        if options.engine not in ENGINES:
            raise ServiceError(
                "ValidationException", f"{PREFIX}engine is {options.engine!r}; it can be threads or ray."
            )
        return options

    def tags(self) -> list[dict[str, str]]:
        """As the Tags of a request; what is not asked for is left out."""
        found = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                text = "true" if value is True else str(value)
                found.append({"Key": tag_of(field.name), "Value": text})
        return found


def tag_of(name: str) -> str:
    """The key of an option's tag."""
    return PREFIX + name.replace("_", "-")
