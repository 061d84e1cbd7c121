"""URLs as they may be shown."""

from __future__ import annotations

import pytest

from relift.urls import shown_url, without_passwords


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4200/api"),
        ("s3://bucket/runs/demo-0", "s3://bucket/runs/demo-0"),
        ("http://me:secret@host:4200/api", "http://***@host:4200/api"),
        ("https://secret@host/api", "https://***@host/api"),
        ("http://me:se/c?r#e@t@host/api", "http://***@host/api"),
        ("http://me:sec ret@host/ api", "http://***@host/ api"),
        ("me:secret@host:4200/api", "***@host:4200/api"),
        ("http://host/api?key=secret&page=2", "http://host/api?key=***&page=2"),
        ("https://host/o?X-Amz-Signature=secret&X-Amz-Date=1", "https://host/o?X-Amz-Signature=***&X-Amz-Date=1"),
        ("", ""),
    ],
)
def test_a_url_is_shown_with_its_host_and_without_its_secrets(url: str, shown: str) -> None:
    assert shown_url(url) == shown
    assert "secret" not in shown_url(url)


def test_a_message_keeps_all_but_the_secrets_of_its_urls() -> None:
    said = 'Could not connect to the endpoint URL: "http://me:secret@h:9/b?list-type=2": mail a@b'
    assert without_passwords(said) == 'Could not connect to the endpoint URL: "http://***@h:9/b?list-type=2": mail a@b'
    assert without_passwords("Invalid endpoint: me:secret@host (me@host)") == "Invalid endpoint: ***@host (me@host)"
    two = "tried ws://u:secret@a/api, then https://b/x?access_token=secret."
    assert without_passwords(two) == "tried ws://***@a/api, then https://b/x?access_token=***"
