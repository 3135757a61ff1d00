"""The role in a plan: the least that SageMaker must be allowed to do what the plan does, and who may take it on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from seaproof.errors import SeaproofError
from seaproof.ship.draft import Draft
from seaproof.ship.plan import Call, Step

Document = dict[str, Any]

VERSION = "2012-10-17"
POLICY = "seaproof"
"""Name of the inline policy."""


_KINDS = ("TrainingJob", "TransformJob", "Model", "EndpointConfig", "Endpoint")
_PUSHING = (
    *("BatchCheckLayerAvailability", "BatchDeleteImage", "BatchGetImage", "CompleteLayerUpload", "CreateRepository"),
    *("DeleteRepository", "DescribeImages", "DescribeRepositories", "GetDownloadUrlForLayer", "GetLifecyclePolicy"),
    *("InitiateLayerUpload", "PutImage", "PutLifecyclePolicy", "TagResource", "UploadLayerPart"),
)
_SCALING = (
    *("DeleteScalingPolicy", "DeregisterScalableTarget", "DescribeScalableTargets", "DescribeScalingPolicies"),
    *("PutScalingPolicy", "RegisterScalableTarget"),
)


def add(draft: Draft) -> None:
    """Add the role, unless seaproof.toml names one that is there; SeaproofError where that one cannot be taken on."""
    given = draft.shipment.role
    draft.names["role"] = draft.place.role
    if draft.target.is_local:
        return
    if given.startswith("arn:"):
        _must_be_there(draft, given)
        return
    trusted, allowed = trust(draft), policy(draft)
    there = draft.find("iam", "GetRole", RoleName=given)
    if there is None:
        request = {
            "RoleName": given,
            "AssumeRolePolicyDocument": json.dumps(trusted),
            "Description": f"What SageMaker may do for {draft.project.name}",
            "Tags": draft.tag_list(),
        }
        draft.steps.append(
            Step(
                f"create role {given}",
                Call("iam", "CreateRole", request),
                Call("iam", "DeleteRole", {"RoleName": given}),
            )
        )
    else:
        draft.kept.append(f"role {given}")
        if _document(there["Role"]["AssumeRolePolicyDocument"]) != trusted:
            request = {"RoleName": given, "PolicyDocument": json.dumps(trusted)}
            draft.steps.append(
                Step(f"let SageMaker take on role {given}", Call("iam", "UpdateAssumeRolePolicy", request))
            )
    present = draft.find("iam", "GetRolePolicy", RoleName=given, PolicyName=POLICY) if there else None
    if present and _document(present["PolicyDocument"]) == allowed:
        return
    put = Call("iam", "PutRolePolicy", {"RoleName": given, "PolicyName": POLICY, "PolicyDocument": json.dumps(allowed)})
    undo = Call("iam", "DeleteRolePolicy", {"RoleName": given, "PolicyName": POLICY})
    draft.steps.append(Step(f"set what role {given} allows", put, None if present else undo))


def _must_be_there(draft: Draft, given: str) -> None:
    """Found before data is sent: SageMaker says it only at the first job, in the words of a role that is new."""
    name = given.rpartition("/")[2]
    if draft.target.lacks("iam", "GetRole", {"RoleName": name}):
        raise SeaproofError(
            f"there is no role {name} in account {draft.target.account}, and SageMaker takes roles of its account only",
            where=f"ship.role = {given!r}",
            next_step="Name one that is there, or leave `role` out: the plan then keeps one of its own.",
        )


def arn(given: str, account: str, partition: str) -> str:
    """The ARN of the role, which may be named by either."""
    return given if given.startswith("arn:") else f"arn:{partition}:iam::{account}:role/{given}"


def trust(draft: Draft) -> Document:
    """Who may take the role on: SageMaker, for this account."""
    return {
        "Version": VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sagemaker.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": draft.target.account}},
            }
        ],
    }


def policy(draft: Draft) -> Document:
    """What the role allows: the objects below the project's prefix, its image, its logs and metrics, and its keys."""
    place, target, shape = draft.place, draft.target, draft.shipment
    part, region, account = target.partition, target.region, target.account
    bucket = f"arn:{part}:s3:::{place.bucket}"
    statements = [
        _allow(
            "Objects",
            ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            f"{bucket}/{place.prefix}/*",
        ),
        {
            **_allow("Bucket", ["s3:ListBucket"], bucket),
            "Condition": {"StringLike": {"s3:prefix": [place.prefix, f"{place.prefix}/*"]}},
        },
    ]
    for address in _foreign(draft):
        name, _, prefix = address.removeprefix("s3://").partition("/")
        arn_ = f"arn:{part}:s3:::{name}"
        number = len(statements) // 2 + 1
        statements += [
            _allow(f"Objects{number}", ["s3:GetObject"], f"{arn_}/{prefix}*"),
            _allow(f"Bucket{number}", ["s3:ListBucket"], arn_),
        ]
    for number, address in enumerate(_written(draft), 1):
        name, _, prefix = address.removeprefix("s3://").partition("/")
        actions = ["s3:PutObject", "s3:AbortMultipartUpload"]
        statements.append(_allow(f"Outputs{number}", actions, f"arn:{part}:s3:::{name}/{prefix}*"))
    if not shape.image.registry:
        repository = place.image.partition("/")[2].rpartition(":")[0] or shape.image.repository or draft.project.name
        pull = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
        statements += [
            _allow("Image", pull, f"arn:{part}:ecr:{region}:{account}:repository/{repository}"),
            _allow("Registry", ["ecr:GetAuthorizationToken"], "*"),
        ]
    logs = f"arn:{part}:logs:{region}:{account}:log-group:/aws/sagemaker/*"
    statements += [
        _allow(
            "Logs",
            ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"],
            logs,
        ),
        {
            **_allow("Metrics", ["cloudwatch:PutMetricData"], "*"),
            "Condition": {"StringLike": {"cloudwatch:namespace": ["/aws/sagemaker/*", "aws/sagemaker/*"]}},
        },
    ]
    if shape.training.kms_key:
        key = shape.training.kms_key
        key_arn = key if key.startswith("arn:") else f"arn:{part}:kms:{region}:{account}:key/{key}"
        statements.append(
            _allow("Key", ["kms:Decrypt", "kms:GenerateDataKey", "kms:CreateGrant", "kms:DescribeKey"], key_arn)
        )
    if shape.training.subnets:
        actions = ["CreateNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterface"]
        actions += ["DeleteNetworkInterfacePermission", "DescribeDhcpOptions", "DescribeNetworkInterfaces"]
        actions += ["DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs"]
        statements.append(_allow("Network", [f"ec2:{action}" for action in actions], "*"))
    topics = [shape.endpoint.asynchronous.get(key) for key in ("success_topic", "error_topic")]
    if any(topics):
        statements.append(_allow("Topics", ["sns:Publish"], sorted({str(topic) for topic in topics if topic})))
    return {"Version": VERSION, "Statement": statements}


def shipping(draft: Draft) -> Document:
    """What whoever ships must be allowed: the calls of a plan, on the project's own things where AWS can tell them."""
    place, target, project = draft.place, draft.target, draft.project
    part, region, account = target.partition, target.region, target.account

    def below(service: str, *kinds: str) -> list[str]:
        return [f"arn:{part}:{service}:{region}:{account}:{kind}" for kind in kinds]

    mine = project.name.lower()
    kinds = [f"{kind}/{mine}*" for kind in ("training-job", "transform-job", "model", "endpoint-config", "endpoint")]
    verbs = {"Create": _KINDS, "Describe": _KINDS, "Delete": _KINDS[2:], "Stop": _KINDS[:2], "Update": _KINDS[4:]}
    actions = [f"sagemaker:{verb}{kind}" for verb, made in verbs.items() for kind in made]
    bucket = f"arn:{part}:s3:::{place.bucket}"
    statements = [
        _allow(
            "Jobs",
            [*actions, "sagemaker:UpdateEndpointWeightsAndCapacities", "sagemaker:AddTags"],
            below("sagemaker", *kinds),
        ),
        _allow("Bucket", ["s3:CreateBucket", "s3:DeleteBucket", "s3:ListBucket"], bucket),
        _allow("Objects", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], f"{bucket}/{place.prefix}/*"),
        _allow("Logs", ["logs:DescribeLogStreams", "logs:GetLogEvents"], below("logs", "log-group:/aws/sagemaker/*")),
        {
            **_allow("HandOverTheRole", ["iam:PassRole"], place.role),
            "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        },
    ]
    if not draft.shipment.role.startswith("arn:"):
        verbs_of_role = ["CreateRole", "DeleteRole", "GetRole", "TagRole", "UpdateAssumeRolePolicy"]
        verbs_of_role += ["DeleteRolePolicy", "GetRolePolicy", "PutRolePolicy"]
        statements.append(_allow("Role", [f"iam:{verb}" for verb in verbs_of_role], place.role))
    if not draft.shipment.image.registry and not draft.shipment.image.uri:
        repository = below("ecr", f"repository/{draft.shipment.image.repository or project.name}")
        statements += [
            _allow("Image", [f"ecr:{action}" for action in _PUSHING], repository),
            _allow("Registry", ["ecr:GetAuthorizationToken"], "*"),
        ]
    if draft.shipment.endpoint.autoscaling:
        statements.append(_allow("Scaling", [f"application-autoscaling:{action}" for action in _SCALING], "*"))
    return {"Version": VERSION, "Statement": statements}


def _allow(sid: str, actions: list[str], resource: str | list[str]) -> Document:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource}


def _foreign(draft: Draft) -> list[str]:
    """The s3:// addresses that are read and lie outside of the project's own prefix."""
    model = draft.shipment.model.source
    return _outside(draft, [*draft.project.training.channels.values(), model, *draft.reads])


def _written(draft: Draft) -> list[str]:
    """Those that are written: what an asynchronous endpoint answers, what is captured, what a job predicts."""
    endpoint = draft.shipment.endpoint
    named = [endpoint.asynchronous.get("output", ""), endpoint.capture.get("destination", "")]
    return _outside(draft, [*named, *draft.writes])


def _outside(draft: Draft, addresses: list[str]) -> list[str]:
    own = f"{draft.place.root}/"
    return sorted({uri for uri in addresses if uri.startswith("s3://") and not uri.startswith(own)})


def _document(given: str | Mapping[str, Any]) -> Document:
    """A policy document as boto3 gives it: decoded, or as text."""
    return dict(json.loads(given)) if isinstance(given, str) else dict(given)
