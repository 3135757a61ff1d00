// The AWS SDK for JavaScript v3: a bucket, a model, an endpoint, one invocation. Node 18 or newer.

import { CreateBucketCommand, GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import {
  CreateEndpointCommand,
  CreateEndpointConfigCommand,
  CreateModelCommand,
  DeleteEndpointCommand,
  DescribeModelCommand,
  SageMakerClient,
  waitUntilEndpointInService,
} from "@aws-sdk/client-sagemaker";
import { InvokeEndpointCommand, SageMakerRuntimeClient } from "@aws-sdk/client-sagemaker-runtime";

const s3 = new S3Client({});
const sagemaker = new SageMakerClient({});
const runtime = new SageMakerRuntimeClient({});

await s3.send(new CreateBucketCommand({ Bucket: "from-js" }));
await s3.send(new PutObjectCommand({ Bucket: "from-js", Key: "a b/ü+.txt", Body: "hello", Metadata: { who: "me" } }));
const got = await s3.send(new GetObjectCommand({ Bucket: "from-js", Key: "a b/ü+.txt" }));
console.log("object", await got.Body.transformToString(), got.Metadata.who);
const listed = await s3.send(new ListObjectsV2Command({ Bucket: "from-js", Prefix: "a b/" }));
console.log("listed", listed.Contents.map((entry) => entry.Key).join());

const ExecutionRoleArn = process.env.SAGEMAKER_ROLE_ARN;
await sagemaker.send(new CreateModelCommand({ ModelName: "m", ExecutionRoleArn, PrimaryContainer: { Image: "any" } }));
const model = await sagemaker.send(new DescribeModelCommand({ ModelName: "m" }));
console.log("model", model.PrimaryContainer.Image, model.CreationTime instanceof Date);
const variant = { VariantName: "all", ModelName: "m", InstanceType: "ml.m5.large", InitialInstanceCount: 1 };
await sagemaker.send(new CreateEndpointConfigCommand({ EndpointConfigName: "c", ProductionVariants: [variant] }));
await sagemaker.send(new CreateEndpointCommand({ EndpointName: "e", EndpointConfigName: "c" }));
await waitUntilEndpointInService({ client: sagemaker, maxWaitTime: 60, minDelay: 1, maxDelay: 1 }, { EndpointName: "e" });
const answer = await runtime.send(new InvokeEndpointCommand({ EndpointName: "e", Body: "echo", ContentType: "text/csv" }));
console.log("answer", new TextDecoder().decode(answer.Body));
try {
  await sagemaker.send(new DescribeModelCommand({ ModelName: "none" }));
} catch (error) {
  console.log("refused", error.name);
}
await sagemaker.send(new DeleteEndpointCommand({ EndpointName: "e" }));
