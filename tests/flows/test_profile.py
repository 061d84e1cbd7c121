"""A Prefect server that the user's own settings name: said when it is not used."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.server.profile import unused_server
from flows.server.serve import deploy_command
from relift.errors import RunError

OWN = "http://127.0.0.1:4999/api"
PROFILES = """
active = "team"
[profiles.team]
PREFECT_API_URL = "https://me:secret@prefect.example.org/api"
[profiles.local]
PREFECT_API_URL = "http://127.0.0.1:4200/api"
[profiles.ephemeral]
PREFECT_SERVER_ALLOW_EPHEMERAL_MODE = "true"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment with profiles in a home of Prefect, and a folder without anything."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "profiles.toml").write_text(PROFILES)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return {"PREFECT_HOME": str(tmp_path / "home")}


def test_the_server_of_the_active_profile_is_said_not_to_be_used_and_how_it_would_be(home: dict[str, str]) -> None:
    assert unused_server(home, used=OWN) == (
        "The Prefect server https://***@prefect.example.org/api, named by Prefect's profile 'team', is not used, but "
        "http://127.0.0.1:4999/api. To use it: PREFECT_API_URL=https://***@prefect.example.org/api"
    )
    local = unused_server({**home, "PREFECT_PROFILE": "local"}, used=OWN)
    assert local.startswith("The Prefect server http://127.0.0.1:4200/api, named by Prefect's profile 'local'")


def test_nothing_is_said_of_a_server_that_is_used_or_of_none(home: dict[str, str], tmp_path: Path) -> None:
    assert unused_server({**home, "PREFECT_PROFILE": "local"}, used="http://127.0.0.1:4200/api") == ""
    assert unused_server({**home, "PREFECT_PROFILE": "ephemeral"}, used=OWN) == ""
    assert unused_server({**home, "PREFECT_PROFILE": "nobody"}, used=OWN) == ""
    assert unused_server({"PREFECT_HOME": str(tmp_path)}, used=OWN) == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", 'PREFECT_API_URL="http://first/api"\n'),
        ("prefect.toml", '[api]\nurl = "http://first/api"\n'),
        ("pyproject.toml", '[tool.prefect.api]\nurl = "http://first/api"\n'),
    ],
)
def test_files_of_the_folder_come_before_the_profile(home: dict[str, str], name: str, text: str) -> None:
    Path(name).write_text(text)
    assert f"http://first/api, named by {name}, is not used" in unused_server(home, used=OWN)


def test_files_that_are_no_settings_are_passed_over(home: dict[str, str]) -> None:
    Path("prefect.toml").write_text("[api\n")
    Path("pyproject.toml").write_bytes(b"\xff\xfe")
    (Path(home["PREFECT_HOME"]) / "profiles.toml").write_text("profiles = 3\n")
    assert unused_server(home, used=OWN) == ""


def test_deploy_without_a_url_says_where_one_stands(home: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("prefect.yaml").write_text("")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", home["PREFECT_HOME"])
    with pytest.raises(RunError, match=r"(?s)PREFECT_API_URL is not set.*named by Prefect's profile 'team'"):
        deploy_command()
