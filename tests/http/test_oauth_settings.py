"""What is wrong under [oauth] stops the start with its line; what is right holds, a CA of one's own among it."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from airflow_mcp.airflow.fetch import make_fetcher
from airflow_mcp.errors import FetchError, SettingsError
from airflow_mcp.settings.settings import read_settings
from tests.http.issuer import Issuer
from tests.http.upstream import listening
from tests.unit.certificates import Authority

pytestmark = pytest.mark.anyio
RIGHT = {"issuer": '"https://login.example.com/realms/team"', "audience": '"https://mcp.example.com/mcp"'}
WRONG: list[tuple[dict[str, str], int, str]] = [  # what is written otherwise, its line, and words of the sentence
    ({"issuer": '""'}, 2, "oauth.issuer must be an https address"),
    ({"issuer": '"login.example.com"'}, 2, "oauth.issuer must be an https address"),
    ({"issuer": '"http://login.example.com"'}, 2, "oauth.issuer must be an https address"),
    ({"issuer": '"http://127.0.0.1.example.com"'}, 2, "oauth.issuer must be an https address"),
    ({"issuer": '"http://localhost@login.example.com"'}, 2, "oauth.issuer must be an https address"),
    ({"issuer": '"https://login.example.com/?realm=team"'}, 2, "oauth.issuer must not have a query"),
    ({"issuer": '"https://login.example.com/#team"'}, 2, "oauth.issuer must not have a query"),
    ({"issuer": '"https://Login.example.com"'}, 2, "oauth.issuer must be written as https://login.example.com"),
    ({"issuer": "7"}, 2, "oauth.issuer"),
    ({"audience": '"airflow"'}, 3, "oauth.audience must be an https address"),
    ({"audience": '"http://mcp.example.com/mcp"'}, 3, "oauth.audience must be an https address"),
    (
        {"audience": '"https://mcp.example.com:443/mcp"'},
        3,
        "oauth.audience must be written as https://mcp.example.com/mcp",
    ),
    ({"other_audiences": '[""]'}, 4, "oauth.other_audiences"),
    ({"jwks_url": '"http://login.example.com/keys"'}, 4, "oauth.jwks_url must be an https address"),
    ({"algorithms": '["none"]'}, 4, "'none' is not accepted: tokens must be signed with a private key"),
    ({"algorithms": '["RS256", "HS256"]'}, 4, "'HS256' is not accepted"),
    ({"algorithms": "[]"}, 4, "oauth.algorithms"),
    ({"required_scopes": "['a\"b']"}, 4, "is no scope"),
    ({"required_scopes": '["a b"]'}, 4, "is no scope"),
    ({"required_scopes": '[""]'}, 4, "is no scope"),
    ({"name_claim": '""'}, 4, "oauth.name_claim"),
    ({"ca_file": '"/nowhere/ca.pem"'}, 4, "oauth.ca_file names no file"),
    ({"audiences": '"https://mcp.example.com/mcp"'}, 4, "oauth.audiences is not a setting"),
]


def written(folder: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, str]) -> Path:
    """The file of an operator with these keys under [oauth], which is the one that is read."""
    file = folder / "airflow-mcp.toml"
    file.write_text("[oauth]\n" + "".join(f"{name} = {value}\n" for name, value in keys.items()))
    monkeypatch.setenv("AIRFLOW_MCP_CONFIG", str(file))
    return file


@pytest.mark.parametrize(("otherwise", "line", "words"), WRONG, ids=[f"{one[0]}" for one in WRONG])
def test_what_is_wrong_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, otherwise: dict[str, str], line: int, words: str
) -> None:
    file = written(tmp_path, monkeypatch, RIGHT | otherwise)
    with pytest.raises(SettingsError) as error:
        read_settings()
    assert str(error.value).startswith(f"{file}, line {line}: ")
    assert words in str(error.value)


@pytest.mark.parametrize("missing", RIGHT)
def test_the_issuer_and_the_audience_are_required(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    written(tmp_path, monkeypatch, {name: value for name, value in RIGHT.items() if name != missing})
    with pytest.raises(SettingsError, match=rf"oauth\.{missing} field required"):
        read_settings()


def test_a_variable_does_not_name_an_issuer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_MCP_OAUTH", '{"issuer": "https://login.example.com"}')
    with pytest.raises(SettingsError, match="AIRFLOW_MCP_OAUTH is no variable: write oauth into the"):
        read_settings()


@pytest.mark.parametrize(
    "right",
    [
        {"issuer": '"https://login.example.com"'},
        {"issuer": '"https://login.example.com/"'},
        {"issuer": '"http://localhost:8080/realms/team"', "audience": '"http://[::1]:8765/mcp"'},
        {"algorithms": '["EdDSA", "PS256"]', "required_scopes": '["airflow:read"]', "roles_claim": '""'},
    ],
)
def test_what_is_right_is_taken_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: dict[str, str]
) -> None:
    written(tmp_path, monkeypatch, RIGHT | right)
    oauth = read_settings().oauth
    assert oauth is not None
    assert f'"{oauth.issuer}"' == (RIGHT | right)["issuer"]
    assert f'"{oauth.audience}"' == (RIGHT | right)["audience"]


async def test_an_issuer_whose_certificate_a_ca_of_ones_own_signed_is_believed_with_its_ca_file_alone(
    tmp_path: Path,
) -> None:
    issuer, authority = Issuer(), Authority(tmp_path)
    with listening(Starlette(routes=[Route("/jwks", issuer.answer)]), tls=authority.sign("issuer")) as url:
        found = await make_fetcher(authority.file)(f"{url}/jwks")
        assert found is not None
        assert [key["kid"] for key in found["keys"]] == ["one"]
        with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
            await make_fetcher()(f"{url}/jwks")


def test_the_example_of_the_docs_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "oauth.md").read_text()
    file = tmp_path / "airflow-mcp.toml"
    file.write_text(page.split("```toml\n")[1].split("```")[0])
    monkeypatch.setenv("AIRFLOW_MCP_CONFIG", str(file))
    settings = read_settings()
    assert settings.oauth is not None
    assert (settings.oauth.host, settings.oauth.roles_claim) == ("mcp.example.com", "realm_access.roles")
    assert settings.policy["allow"][0]["callers"] == ["role:airflow-oncall"]
