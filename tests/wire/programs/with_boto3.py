"""boto3 alone: train, wait, deploy, invoke, read the log, delete."""

import io
import os
import tarfile

import boto3

s3, sagemaker, runtime, logs = (boto3.client(name) for name in ("s3", "sagemaker", "sagemaker-runtime", "logs"))
role = os.environ["SAGEMAKER_ROLE_ARN"]
bucket = f"sagemaker-{s3.meta.region_name}-{boto3.client('sts').get_caller_identity()['Account']}"
s3.put_object(Bucket=bucket, Key="in/data.csv", Body=b"1\n2\n3\n")

sagemaker.create_training_job(
    TrainingJobName="job",
    RoleArn=role,
    AlgorithmSpecification={"TrainingImage": "times", "TrainingInputMode": "File"},
    HyperParameters={"factor": "3"},
    InputDataConfig=[
        {
            "ChannelName": "train",
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/in"}},
        }
    ],
    OutputDataConfig={"S3OutputPath": f"s3://{bucket}/out"},
    ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    StoppingCondition={"MaxRuntimeInSeconds": 60},
)
quickly = {"WaiterConfig": {"Delay": 1, "MaxAttempts": 60}}
sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName="job", **quickly)
job = sagemaker.describe_training_job(TrainingJobName="job")
print("job", job["TrainingJobStatus"])

model_data = job["ModelArtifacts"]["S3ModelArtifacts"]
archive = io.BytesIO(s3.get_object(Bucket=bucket, Key=model_data.split("/", 3)[3])["Body"].read())
with tarfile.open(fileobj=archive) as tar:
    print("factor", tar.extractfile("factor").read().decode())

group, prefix = "/aws/sagemaker/TrainingJobs", "job/"
stream = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"][0]["logStreamName"]
events = logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
print("log", [event["message"] for event in events if "rows" in event["message"]])

sagemaker.create_model(
    ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": "times", "ModelDataUrl": model_data}
)
variant = {"VariantName": "all", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="e", **quickly)
asked = {"EndpointName": "e", "Body": b"14", "ContentType": "text/csv"}
print("answer", runtime.invoke_endpoint(**asked)["Body"].read().decode())
parts = runtime.invoke_endpoint_with_response_stream(**asked)["Body"]
print("streamed", b"".join(part["PayloadPart"]["Bytes"] for part in parts).decode())
try:
    runtime.invoke_endpoint(EndpointName="e", Body=b"word", ContentType="text/csv")
except runtime.exceptions.ModelError as error:
    print("refused", error.response["OriginalStatusCode"])

sagemaker.create_endpoint_config(
    EndpointConfigName="later",
    ProductionVariants=[variant],
    AsyncInferenceConfig={"OutputConfig": {"S3OutputPath": f"s3://{bucket}/later"}},
)
sagemaker.create_endpoint(EndpointName="later", EndpointConfigName="later")
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="later", **quickly)
s3.put_object(Bucket=bucket, Key="one.csv", Body=b"5")
accepted = runtime.invoke_endpoint_async(
    EndpointName="later", InputLocation=f"s3://{bucket}/one.csv", ContentType="text/csv"
)
key = accepted["OutputLocation"].split("/", 3)[3]
s3.get_waiter("object_exists").wait(Bucket=bucket, Key=key, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
print("later", s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode())

s3.put_object(Bucket=bucket, Key="rows/a.csv", Body=b"1\n2\n")
sagemaker.create_transform_job(
    TransformJobName="t",
    ModelName="m",
    TransformInput={
        "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/rows"}},
        "ContentType": "text/csv",
        "SplitType": "Line",
    },
    BatchStrategy="SingleRecord",
    TransformOutput={"S3OutputPath": f"s3://{bucket}/scored", "AssembleWith": "Line"},
    TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
)
sagemaker.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName="t", **quickly)
print("transformed", s3.get_object(Bucket=bucket, Key="scored/a.csv.out")["Body"].read().decode().split())

sagemaker.create_processing_job(
    ProcessingJobName="p",
    RoleArn=role,
    AppSpecification={
        "ImageUri": "times",
        "ContainerEntrypoint": ["sh", "-c", "cd /opt/ml/processing && cat in/a.csv && wc -l < in/a.csv > out/count"],
    },
    ProcessingInputs=[
        {
            "InputName": "rows",
            "S3Input": {
                "S3Uri": f"s3://{bucket}/rows",
                "LocalPath": "/opt/ml/processing/in",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }
    ],
    ProcessingOutputConfig={
        "Outputs": [
            {
                "OutputName": "count",
                "S3Output": {
                    "S3Uri": f"s3://{bucket}/counted",
                    "LocalPath": "/opt/ml/processing/out",
                    "S3UploadMode": "EndOfJob",
                },
            }
        ]
    },
    ProcessingResources={"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
)
sagemaker.get_waiter("processing_job_completed_or_stopped").wait(ProcessingJobName="p", **quickly)
print("processed", s3.get_object(Bucket=bucket, Key="counted/count")["Body"].read().decode().strip())

for name in ("e", "later"):
    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, **quickly)
sagemaker.delete_endpoint_config(EndpointConfigName="c")
sagemaker.delete_model(ModelName="m")
print("left", [model["ModelName"] for model in sagemaker.list_models()["Models"]])
