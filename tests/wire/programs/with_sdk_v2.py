"""SageMaker SDK v2: fit with its log, deploy, predict, pipeline and multi-model endpoints, transform, process."""

from pathlib import Path

import boto3
import sagemaker
from sagemaker.estimator import Estimator
from sagemaker.model import Model
from sagemaker.multidatamodel import MultiDataModel
from sagemaker.pipeline import PipelineModel
from sagemaker.predictor import Predictor
from sagemaker.processing import ProcessingInput, ProcessingOutput, Processor, ScriptProcessor
from sagemaker.serializers import CSVSerializer

OFTEN = 0.2


class Session(sagemaker.Session):
    """The SDK's own, which looks every 5 to 10 seconds, looking more often."""

    def logs_for_job(self, job_name, wait=False, poll=OFTEN, **more):
        return super().logs_for_job(job_name, wait, poll=OFTEN, **more)

    def logs_for_processing_job(self, job_name, wait=False, poll=OFTEN):
        return super().logs_for_processing_job(job_name, wait, poll=OFTEN)

    def wait_for_transform_job(self, job, poll=OFTEN):
        return super().wait_for_transform_job(job, poll=OFTEN)


session = Session()
role = sagemaker.get_execution_role()
print("role", role, flush=True)
client = boto3.client("sagemaker")


def deployed(model, name, **options):
    """Deploy without the SDK's poll of 30 seconds."""
    model.deploy(initial_instance_count=1, instance_type="ml.m5.large", endpoint_name=name, wait=False, **options)
    client.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig={"Delay": OFTEN, "MaxAttempts": 600})
    return Predictor(name, sagemaker_session=session, serializer=CSVSerializer())


Path("data.csv").write_text("1\n2\n")
data = session.upload_data("data.csv", key_prefix="in")
estimator = Estimator(
    "times",
    role,
    instance_count=1,
    instance_type="ml.m5.large",
    hyperparameters={"factor": 3},
    sagemaker_session=session,
)
estimator.fit({"train": data}, logs=True)
print("model", estimator.model_data, flush=True)

predictor = deployed(estimator, "single")
print("answer", predictor.predict("14").decode(), flush=True)

transformer = estimator.transformer(1, "ml.m5.large", strategy="SingleRecord", assemble_with="Line")
rows = session.upload_data("data.csv", key_prefix="rows")
transformer.transform(rows, content_type="text/csv", split_type="Line", logs=False)
bucket, _, prefix = transformer.output_path.removeprefix("s3://").partition("/")
print("transformed", session.read_s3_file(bucket, f"{prefix}/data.csv.out").split(), flush=True)

times = Model("times", estimator.model_data, role, sagemaker_session=session)
twice = PipelineModel(
    [times, Model("times", estimator.model_data, role, sagemaker_session=session)], role, sagemaker_session=session
)
print("chain", deployed(twice, "chain").predict("2").decode(), flush=True)

many = MultiDataModel("many", f"s3://{session.default_bucket()}/models/", times, sagemaker_session=session)
many.add_model(estimator.model_data, "three.tar.gz")
print("one of", list(many.list_models()), flush=True)
print("answer", deployed(many, "many").predict("5", target_model="three.tar.gz").decode(), flush=True)


def processed(processor, **options):
    """Run a processor with its log; what it saved."""
    inputs = [ProcessingInput(data, "/opt/ml/processing/input/rows", input_name="rows")]
    outputs = [ProcessingOutput("/opt/ml/processing/output", output_name="out")]
    processor.run(inputs=inputs, outputs=outputs, **options)
    bucket, _, prefix = processor.latest_job.outputs[0].destination.removeprefix("s3://").partition("/")
    return session.read_s3_file(bucket, f"{prefix}/sum").strip()


Path("add.py").write_text(
    "import pathlib, sys\n"
    "rows = pathlib.Path('/opt/ml/processing/input/rows/data.csv').read_text().split()\n"
    "print('adding', len(rows), 'rows')\n"
    "total = int(sys.argv[2]) * sum(map(int, rows))\n"
    "pathlib.Path('/opt/ml/processing/output/sum').write_text(str(total))\n"
)
resources = {"instance_count": 1, "instance_type": "ml.m5.large", "sagemaker_session": session}
script = ScriptProcessor(role=role, image_uri="times", command=["python3"], **resources)
print("script", processed(script, code="add.py", arguments=["--times", "7"]), flush=True)
words = ["sh", "-c", "wc -l < /opt/ml/processing/input/rows/data.csv > /opt/ml/processing/output/sum"]
plain = Processor(role=role, image_uri="times", entrypoint=words, **resources)
print("plain", processed(plain), flush=True)

for name in ("single", "chain", "many"):
    client.delete_endpoint(EndpointName=name)
