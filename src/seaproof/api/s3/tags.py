"""Tags of objects."""

from __future__ import annotations

from typing import Any

from seaproof.api.s3.objects import address_of, checked_tags, opened
from seaproof.api.s3.shelf import Shelf

Body = dict[str, Any]


def put_object_tagging(shelf: Shelf, request: Body) -> Body:
    """Replace the tags of an object."""
    _replace(shelf, request, checked_tags(request["Tagging"]["TagSet"]))
    return {}


def get_object_tagging(shelf: Shelf, request: Body) -> Body:
    """The tags of an object."""
    file, _, facts = opened(shelf, address_of(shelf, request))
    file.close()
    return {"TagSet": facts.get("TagSet", [])}


def delete_object_tagging(shelf: Shelf, request: Body) -> Body:
    """Remove the tags of an object."""
    _replace(shelf, request, [])
    return {}


def _replace(shelf: Shelf, request: Body, tags: list[Body]) -> None:
    address = address_of(shelf, request)
    file, status, facts = opened(shelf, address)
    with file:
        shelf.keep(address, status, {**facts, "TagSet": tags})
