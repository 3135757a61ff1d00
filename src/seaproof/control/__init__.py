"""The control plane: one function per SageMaker operation, named as boto3 names it, over a store of records."""
