"""The proof: any image, folder or model.tar.gz held against SageMaker's contract before it is pushed.

One file per family of checks. A check is data (`check.Check`) around one small function; `catalogue` gathers them,
`runner` runs them on a `subject.Subject`, `reports` tell what came of it.
"""
