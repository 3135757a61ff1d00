"""Tags of any resource, by its ARN: AddTags, ListTags, DeleteTags, and the Tags of every Create operation."""

from __future__ import annotations

from seaproof.control.plane import Plane
from seaproof.control.store import Body, Record
from seaproof.errors import ServiceError

MAX_TAGS = 50


def add_tags(plane: Plane, request: Body) -> Body:
    """Add tags to a resource, or change their values; answers all that it has."""
    new = of_request(request)
    with plane.store.transaction():
        arn = _find(plane, request["ResourceArn"]).arn
        tags = {**plane.store.tags(arn), **new}
        if len(tags) > MAX_TAGS:
            raise ServiceError(
                "ValidationException", f"{arn} would have {len(tags)} tags; a resource can have {MAX_TAGS}."
            )
        plane.store.set_tags(arn, new)
    return {"Tags": _as_list(tags)}


def list_tags(plane: Plane, request: Body) -> Body:
    """The tags of a resource, by key, at most MaxResults of them; a token is the last key of the page before."""
    tags = _as_list(plane.store.tags(_find(plane, request["ResourceArn"]).arn))
    after = request.get("NextToken")
    if after:
        if after not in (tag["Key"] for tag in tags):
            raise ServiceError("ValidationException", "Invalid NextToken: it must come from an answer to this request.")
        tags = [tag for tag in tags if tag["Key"] > after]
    count = request.get("MaxResults", MAX_TAGS)
    more = {"NextToken": tags[count - 1]["Key"]} if len(tags) > count else {}
    return {"Tags": tags[:count], **more}


def delete_tags(plane: Plane, request: Body) -> Body:
    """Remove tags by key; those that are not there are passed over."""
    with plane.store.transaction():
        plane.store.remove_tags(_find(plane, request["ResourceArn"]).arn, request["TagKeys"])
    return {}


def of_request(request: Body) -> dict[str, str]:
    """The `Tags` of a request by key. ValidationException where a key is given twice or is AWS's own."""
    tags: dict[str, str] = {}
    for tag in request.get("Tags", []):
        if tag["Key"] in tags:
            raise ServiceError("ValidationException", f"Duplicate tag key: {tag['Key']!r} is given more than once.")
        if tag["Key"].lower().startswith("aws:"):
            raise ServiceError("ValidationException", f"Tag keys that start with aws: are reserved: {tag['Key']!r}.")
        tags[tag["Key"]] = tag["Value"]
    return tags


def _find(plane: Plane, arn: str) -> Record:
    before, slash, name = arn.partition("/")
    found = plane.store.by_arn(f"{before}{slash}{name.lower()}")
    if found is None:
        raise ServiceError("ValidationException", f'Could not find resource "{arn}".')
    return found


def _as_list(tags: dict[str, str]) -> list[Body]:
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]
