"""Make the bucket of the runs where it does not exist, once the store answers; the standard AWS variables apply."""

import os
import sys
import time

import boto3
from botocore.exceptions import BotoCoreError, ClientError

LIMIT_SECONDS = 120.0
bucket = os.environ["RELIFT_BUCKET"]
client = boto3.client("s3")
deadline = time.monotonic() + LIMIT_SECONDS
while True:
    try:
        if bucket not in [found["Name"] for found in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=bucket)
        break
    except (BotoCoreError, ClientError) as problem:
        if time.monotonic() > deadline:
            sys.exit(f"no bucket {bucket!r} after {LIMIT_SECONDS:.0f} s: {problem}")
        time.sleep(1)
