"""SageMaker Python SDK v3: ModelTrainer with its log, then resources as classes."""

import logging
import os
import sys
from pathlib import Path

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.resources import Endpoint, EndpointConfig, Model
from sagemaker.core.shapes import ContainerDefinition, ProductionVariant
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData

logging.basicConfig(level=logging.INFO, stream=sys.stdout)
session = Session()
role = os.environ["SAGEMAKER_ROLE_ARN"]
Path("data.csv").write_text("1\n2\n")
data = session.upload_data("data.csv", key_prefix="in")
trainer = ModelTrainer(
    sagemaker_session=session,
    training_image="times",
    role=role,
    base_job_name="trainer",
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
    hyperparameters={"factor": 3},
)
trainer.train(input_data_config=[InputData(channel_name="train", data_source=data)], wait=True, logs=True)
job = trainer._latest_training_job
job.refresh()
print("job", job.training_job_status, flush=True)

container = ContainerDefinition(image="times", model_data_url=job.model_artifacts.s3_model_artifacts)
model = Model.create(model_name="m", primary_container=container, execution_role_arn=role)
variant = ProductionVariant(
    variant_name="all", model_name="m", initial_instance_count=1, instance_type="ml.m5.large", initial_variant_weight=1
)
config = EndpointConfig.create(endpoint_config_name="c", production_variants=[variant])
endpoint = Endpoint.create(endpoint_name="e", endpoint_config_name="c")
endpoint.wait_for_status("InService")
print("answer", endpoint.invoke(body=b"14", content_type="text/csv").body.read().decode(), flush=True)
endpoint.delete()
config.delete()
model.delete()
