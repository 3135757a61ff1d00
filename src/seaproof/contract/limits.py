"""Every limit of the platform, with its unit, as data.

`Limit.value` is in `Limit.unit`; a profile is one consistent set. Where the documentation and the API model
disagree (the body of a real-time request: 25 MB in the developer guide, 6,291,456 bytes in the model) both are
offered as profiles and the newer one is the default.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limit:
    """One number of the platform: value, unit, and where it is written down."""

    value: int
    unit: str
    source: str

    def __str__(self) -> str:
        return f"{self.value:,} {self.unit}"


@dataclass(frozen=True)
class Profile:
    """The limits that hold together for one kind of hosting."""

    name: str
    request_body: Limit = Limit(25 * MIB, "bytes", "developer guide, real-time inference: 25 MB")
    response_body: Limit = Limit(25 * MIB, "bytes", "developer guide, real-time inference: 25 MB")
    ping_timeout: Limit = Limit(2, "seconds", "developer guide: per attempt of GET /ping")
    connect_timeout: Limit = Limit(250, "milliseconds", "developer guide: TCP connect")
    startup: Limit = Limit(480, "seconds", "developer guide: /ping answers 200 within 8 minutes")
    download: Limit = Limit(3600, "seconds", "API model: ModelDataDownloadTimeoutInSeconds maximum")
    invocation: Limit = Limit(60, "seconds", "developer guide: response complete")
    streaming: Limit = Limit(480, "seconds", "developer guide: streaming response complete")
    stop_endpoint: Limit = Limit(30, "seconds", "developer guide: SIGTERM to SIGKILL when hosting")
    stop_job: Limit = Limit(120, "seconds", "developer guide: SIGTERM to SIGKILL when training")
    failure_text: Limit = Limit(1024, "characters", "API model: FailureReason maximum")
    exit_message: Limit = Limit(1024, "bytes", "developer guide: /opt/ml/output/message of a processing job")
    custom_attributes: Limit = Limit(1024, "characters", "API model: CustomAttributesHeader maximum")
    pipeline_hop: Limit = Limit(5 * MIB, "bytes", "developer guide: between containers of a pipeline")


REAL_TIME = Profile("25MB")
API_MODEL = replace(
    REAL_TIME,
    name="6MB",
    request_body=Limit(6_291_456, "bytes", "API model: BodyBlob maximum"),
    response_body=Limit(6_291_456, "bytes", "API model: BodyBlob maximum"),
)
SERVERLESS = replace(
    REAL_TIME,
    name="serverless",
    request_body=Limit(4 * MIB, "bytes", "developer guide, serverless: 4 MB"),
    response_body=Limit(4 * MIB, "bytes", "developer guide, serverless: 4 MB"),
    startup=Limit(180, "seconds", "developer guide, serverless: download and ping together"),
)
ASYNCHRONOUS = Limit(1024 * MIB, "bytes", "developer guide, asynchronous inference: payloads up to 1 GB")
ASYNCHRONOUS_INLINE = Limit(128_000, "bytes", "API model: Body of InvokeEndpointAsync")
PROFILES = {profile.name: profile for profile in (REAL_TIME, API_MODEL, SERVERLESS)}


@dataclass(frozen=True)
class BatchLimits:
    """The limits of batch transform jobs."""

    default_payload_mb: Limit = Limit(6, "MiB", "API reference: MaxPayloadInMB default")
    payload_mb: Limit = Limit(100, "MiB", "API reference: MaxPayloadInMB maximum, and its product with concurrency")
    instances: Limit = Limit(100, "instances", "API reference: TransformResources.InstanceCount maximum")
    invocation: Limit = Limit(600, "seconds", "API reference: InvocationsTimeoutInSeconds default")
    retries: Limit = Limit(3, "retries", "API reference: InvocationsMaxRetries default")
    environment_key: Limit = Limit(1024, "characters", "API reference: key of Environment")
    environment_value: Limit = Limit(10_240, "characters", "API reference: value of Environment")


BATCH = BatchLimits()
