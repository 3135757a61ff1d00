"""S3 on the local server's port: its operations over `.seaproof/s3/<bucket>/<key>`, driven by botocore's model.

One operation is one function of its boto3 name in this package; see docs/decisions/own-s3.md for why it is ours.
"""
