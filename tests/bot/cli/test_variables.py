"""Variables that look like settings."""

from __future__ import annotations

import pytest

from bot.cli.variables import require_known, unknown_variables
from pipeline.records import AssayError
from tests.rows import each_row


@each_row(
    ("name", "meant"),
    [
        ("ASSAY_ALLOWED_ACCOUNT", "ASSAY_ALLOWED_ACCOUNTS"),
        ("ASSAY_ALOWED_ACCOUNTS", "ASSAY_ALLOWED_ACCOUNTS"),
        ("assay_allowedaccounts", "ASSAY_ALLOWED_ACCOUNTS"),
        ("ASSAY_REDIS_URI", "ASSAY_REDIS_URL"),
        ("ASSAY_METRICS_ADDR", "ASSAY_METRICS_ADDRESS"),
        ("ASSAY_WEBHOOK_SECRETS", "ASSAY_WEBHOOK_SECRET"),
        ("ASSAY_OF_ANOTHER_RELEASE", ""),
        ("ASSAY_PORT", ""),
    ],
)
def test_an_unknown_variable_is_named_with_the_setting_that_it_resembles(name: str, meant: str) -> None:
    unknown = unknown_variables({name: "x", "ASSAY_QUIET": "1", "HOME": "/"})
    assert unknown == {name: meant}
    if meant:
        with pytest.raises(AssayError, match=f"{name} is not a setting .did you mean {meant}"):
            require_known(unknown)
    else:
        require_known(unknown)


def test_known_empty_and_foreign_variables_are_not_named() -> None:
    environment = {
        "ASSAY_DATA_DIR": "x",
        "assay_data_dir": "x",
        "ASSAY_ALLOWED_ACCOUNT": "",
        "ASSAY_TEST_POSTGRES_URL": "x",
        "ASSAYS_DATA_DIR": "x",
        # what Kubernetes sets for services that are called assay and assay-redis
        "ASSAY_SERVICE_HOST": "10.0.0.1",
        "ASSAY_SERVICE_PORT_HTTP": "80",
        "ASSAY_PORT": "tcp://10.0.0.1:80",
        "ASSAY_PORT_80_TCP_ADDR": "10.0.0.1",
        "ASSAY_DATABASE_PORT": "tcp://10.0.0.1:5432",
        "ASSAY_REDIS_PORT_6379_TCP": "tcp://10.0.0.1:6379",
    }
    assert unknown_variables(environment) == {}
