"""What S3 refuses, in words: what is wrong, and what to do about it. Never a credential."""

from __future__ import annotations

import os

from relift.errors import StoreError
from relift.urls import shown_url, without_passwords

_HOW_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile of ~/.aws, or run where an instance "
    "role gives them"
)
_WRONG_CREDENTIALS = {
    "SignatureDoesNotMatch": "the secret key does not belong to the access key",
    "InvalidAccessKeyId": "the server does not know the access key",
    "ExpiredToken": "the session token has expired",
    "InvalidToken": "the session token is not valid",
    "TokenRefreshRequired": "the session token has to be renewed",
}
_OTHERS = {
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION to it",
    "AuthorizationHeaderMalformed": "the bucket is in another region: set AWS_REGION to it",
    "RequestTimeTooSkewed": "the clock of this machine is wrong: correct it",
    "InvalidBucketName": "a bucket's name has 3 to 63 lower-case letters, digits, '.' and '-': correct it in store",
    "QuotaExceeded": "the bucket's quota is used up: make space, then run the same command to go on",
    "InsufficientStorage": "the server's disk is full: make space, then run the same command to go on",
    "507": "the server's disk is full: make space, then run the same command to go on",
}
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "CredentialRetrievalError"}


def uploads_cause(problem: BaseException) -> BaseException:
    """boto3 wraps what an upload met and keeps it as the context alone."""
    from boto3.exceptions import S3UploadFailedError

    wrapped = isinstance(problem, S3UploadFailedError) and problem.__context__
    return wrapped or problem


def explained(problem: BaseException, *, action: str, bucket: str, where: str) -> StoreError:
    """For a botocore error met while doing ``action`` on ``where``; what it says of URLs without their passwords."""
    return StoreError(without_passwords(_explanation(problem, action=action, bucket=bucket, where=where)))


def _explanation(problem: BaseException, *, action: str, bucket: str, where: str) -> str:
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

    if isinstance(problem, ClientError):
        return _refused(problem.response["Error"], action=action, bucket=bucket, where=where)
    kind = type(problem).__name__
    if kind in _NO_CREDENTIALS or "SSO" in kind or "Token" in kind:
        return f"no usable AWS credentials for {where} ({problem}). {_HOW_CREDENTIALS}."
    if isinstance(problem, HTTPClientError | ConnectionError):
        return (
            f"{_endpoint()} did not answer for {where} ({problem}): check AWS_ENDPOINT_URL_S3, the network and that "
            f"the server runs; then run the same command, which goes on from what is stored."
        )
    return f"{where} could not be used ({kind}: {problem}): check AWS_ENDPOINT_URL_S3 and store."


def _refused(error: dict[str, str], *, action: str, bucket: str, where: str) -> str:
    code = error.get("Code", "unknown")
    if code == "NoSuchBucket":
        return f"there is no bucket {bucket!r} at {_endpoint()}: make it, or correct the store setting ({where})."
    if code in _WRONG_CREDENTIALS:
        return f"{_endpoint()} refused the credentials for {where}: {_WRONG_CREDENTIALS[code]}. {_HOW_CREDENTIALS}."
    if code in ("AccessDenied", "AllAccessDisabled", "403"):
        return (
            f"no permission for {action} on {where}: these credentials may not do it. Allow the action in the bucket's "
            f"policy or the user's, or use other credentials."
        )
    if code in _OTHERS:
        return f"{action} on {where} was refused ({code}): {_OTHERS[code]}."
    return f"{action} on {where} failed at {_endpoint()} ({code}: {error.get('Message', '')}). Run the command again."


def _endpoint() -> str:
    url = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    return f"the S3 server {shown_url(url)}" if url else "AWS S3"
