from pathlib import Path

import pytest

from bot.settings import default_data_dir, load_settings
from pipeline.records import AssayError


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in ("ASSAY_DATA_DIR", "ASSAY_CA_BUNDLE", "ASSAY_LOG_FORMAT", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_defaults_apply_without_variables() -> None:
    settings = load_settings()
    assert (settings.data_dir, settings.ca_bundle, settings.log_format) == (default_data_dir(), None, "console")


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "{home}/.local/share/assay"),
        ("linux", {"XDG_DATA_HOME": "/elsewhere"}, "/elsewhere/assay"),
        ("linux", {"XDG_DATA_HOME": "relative"}, "{home}/.local/share/assay"),
        ("linux", {"XDG_DATA_HOME": ""}, "{home}/.local/share/assay"),
        ("darwin", {}, "{home}/Library/Application Support/assay"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/assay"),
    ],
)
def test_the_data_folder_follows_the_platform(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, environment: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert str(default_data_dir()) == expected.format(home=tmp_path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("/srv/assay", "/srv/assay"), ("~/d", "{home}/d"), ("d", "{here}/d"), ("", "{home}/.local/share/assay")],
)
def test_the_data_folder_can_be_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, expected: str
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("ASSAY_DATA_DIR", given)
    assert str(load_settings().data_dir) == expected.format(home=tmp_path, here=Path.cwd())


def test_without_a_home_directory_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(AssayError, match="set ASSAY_DATA_DIR"):
        load_settings()


def test_unknown_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_OF_ANOTHER_RELEASE", "x")
    assert load_settings().log_format == "console"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ASSAY_LOG_FORMAT", "xml", "'console' or 'json'"),
        ("ASSAY_CA_BUNDLE", "/no/such/file.pem", "file"),
        ("ASSAY_DATA_DIR", "~nobody-of-this-name/x", "home directory"),
    ],
)
def test_an_invalid_value_is_reported_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(AssayError) as raised:
        load_settings()
    assert str(raised.value).startswith(f"{name}: ")
    assert words in str(raised.value)


def test_all_invalid_values_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_LOG_FORMAT", "xml")
    monkeypatch.setenv("ASSAY_CA_BUNDLE", "/no/such/file.pem")
    with pytest.raises(AssayError, match=r"ASSAY_CA_BUNDLE: .*; ASSAY_LOG_FORMAT: "):
        load_settings()


def test_invalid_app_settings_are_refused(monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests) -> None:
    cases: list[tuple[dict[str, str], str]] = [
        ({"ASSAY_APP_ID": "0"}, "ASSAY_APP_ID: must be the App ID that GitHub shows"),
        ({"ASSAY_APP_ID": "my-app"}, "ASSAY_APP_ID: "),
        ({"ASSAY_GITHUB_URL": "github.com"}, "ASSAY_GITHUB_URL: must be an http:// or https:// URL"),
        ({"ASSAY_GITHUB_API_URL": "https://u:p@ghes.example"}, "ASSAY_GITHUB_API_URL: must be a URL without user"),
        ({"ASSAY_PUBLIC_URL": "https://assay.example/?a=b"}, "ASSAY_PUBLIC_URL: must be a URL without user"),
        ({"ASSAY_MODE": "shout"}, "ASSAY_MODE: input should be 'post' or 'observe'"),
        ({"ASSAY_SCREENINGS": "0"}, "ASSAY_SCREENINGS: "),
        ({"ASSAY_SCREENING_MEMORY_MB": "lots"}, "ASSAY_SCREENING_MEMORY_MB: "),
        (
            {"ASSAY_PRIVATE_KEY": "inline", "ASSAY_PRIVATE_KEY_FILE": __file__},
            "ASSAY_PRIVATE_KEY and ASSAY_PRIVATE_KEY_FILE are both set: unset one",
        ),
        (
            {"ASSAY_WEBHOOK_SECRET": "inline", "ASSAY_WEBHOOK_SECRET_FILE": __file__},
            "ASSAY_WEBHOOK_SECRET and ASSAY_WEBHOOK_SECRET_FILE are both set: unset one",
        ),
    ]
    for variables, words in cases:
        with subtests.test(variables=variables), monkeypatch.context() as environment:
            for name, value in variables.items():
                environment.setenv(name, value)
            with pytest.raises(AssayError) as raised:
                load_settings()
            assert str(raised.value).startswith(words)
            assert "inline" not in str(raised.value)


@pytest.mark.parametrize(
    ("variables", "api"),
    [
        ({}, "https://api.github.com"),
        ({"ASSAY_GITHUB_URL": "https://github.com/"}, "https://api.github.com"),
        ({"ASSAY_GITHUB_URL": "https://ghes.example"}, "https://ghes.example/api/v3"),
        ({"ASSAY_GITHUB_URL": "https://acme.ghe.com"}, "https://api.acme.ghe.com"),
        (
            {"ASSAY_GITHUB_URL": "https://ghes.example", "ASSAY_GITHUB_API_URL": "https://api.ghes.example/"},
            "https://api.ghes.example",
        ),
    ],
)
def test_the_api_url_is_derived_from_the_web_url(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], api: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert load_settings().api_url == api


def test_allowed_accounts_are_comma_separated_and_lower_cased(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_ALLOWED_ACCOUNTS", " Acme, ,initech ")
    assert load_settings().allowed_accounts == ("acme", "initech")


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "PRIVATE_KEY",
        "WEBHOOK_SECRET",
        "PREVIOUS_WEBHOOK_SECRET",
        "CLIENT_SECRET",
        "DATABASE_URL",
        "REDIS_URL",
    ):
        monkeypatch.setenv(f"ASSAY_{name}", "hush-hush")
    assert "hush-hush" not in repr(load_settings())


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().log_format = "json"
