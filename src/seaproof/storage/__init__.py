"""Seam 2: where `s3://` bytes live. `storage` holds the protocol; `local` keeps them in `.seaproof/s3`."""
