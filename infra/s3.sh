#!/bin/sh
# SeaweedFS with one identity whose keys come from the environment: no secret in a file of the repository.
set -eu
cat > /tmp/s3.json <<JSON
{"identities": [{"name": "relift",
  "credentials": [{"accessKey": "${AWS_ACCESS_KEY_ID}", "secretKey": "${AWS_SECRET_ACCESS_KEY}"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
JSON
exec weed server -dir=/data -ip.bind=0.0.0.0 -s3 -s3.port=8333 -s3.config=/tmp/s3.json -volume.max=100
