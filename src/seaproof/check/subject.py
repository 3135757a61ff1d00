"""What a check function is given: the target, what the user said, and the lab in which things are started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from seaproof.check.check import NotApplicable, Unchecked
from seaproof.check.files import Files
from seaproof.check.image import ImageConfig
from seaproof.check.options import Options
from seaproof.check.target import Target

if TYPE_CHECKING:
    from seaproof.check.lab import Lab


@dataclass(frozen=True)
class Subject:
    """See the module."""

    target: Target
    options: Options
    lab: Lab

    @property
    def roles(self) -> tuple[str, ...]:
        """What the target is checked as."""
        return self.target.roles

    def config(self) -> ImageConfig:
        """The image's configuration, or that of the folder that stands for it."""
        if self.target.config is None:
            raise NotApplicable("there is no image")
        return self.target.config

    def image_config(self) -> ImageConfig:
        """The configuration of a real image or a Dockerfile; a folder of the process driver has none."""
        if self.target.program and self.target.dockerfile:
            return self.target.dockerfile.config
        if self.target.program:
            raise Unchecked(
                "a folder has no image; this is checked on the image that is built from it",
                next_step="seaproof check IMAGE",
                blocks=False,
            )
        return self.config()

    def built(self) -> ImageConfig:
        """The configuration of an image that exists, not of one that will be built."""
        if not self.target.image and not self.target.saved:
            if self.target.config is None:
                raise NotApplicable("there is no image")
            raise Unchecked(
                "there is no built image to look at", next_step="Build it, then: seaproof check IMAGE", blocks=False
            )
        return self.config()

    def files(self) -> Files:
        """The file system that is only looked at."""
        if self.target.files is None:
            raise NotApplicable("there are no files to look at")
        return self.target.files

    def serves(self) -> bool:
        """Whether it is checked in a role that answers requests."""
        return any(role not in ("training", "processing") for role in self.roles)
