"""Keys: where they are looked for, in which order, and what is said where there is none."""

from __future__ import annotations

import traceback

import pytest

from streamkit.errors import ConfigError
from streamkit.keys import base_url_from_environment, from_environment, from_keystore, look_up

VARIABLES = ("ACME_API_KEY", "ACME_TOKEN")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ACME_API_KEY": "one"}, "one"),
        ({"ACME_TOKEN": "two"}, "two"),
        ({"ACME_API_KEY": "one", "ACME_TOKEN": "two"}, "one"),
        ({"ACME_API_KEY": "", "ACME_TOKEN": "two"}, "two"),
        ({"ACME_API_KEY": " \n", "ACME_TOKEN": "two"}, "two"),
        ({"ACME_API_KEY": " one\n"}, "one"),
    ],
)
def test_the_first_variable_that_is_set(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first variable with a key wins; a blank one counts as not set; white space around a key is no part of it."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    key = from_environment(VARIABLES)

    assert key is not None
    assert (expected, expected) == (key.expose(), look_up("acme", VARIABLES).expose())


def test_no_key_anywhere() -> None:
    """Nothing set is None for who asks only there, and an error that names every place for who needs a key."""
    assert None is from_environment(VARIABLES)
    with pytest.raises(ConfigError, match=r"^acme not configured: .*api_key.*keystore.*ACME_API_KEY, ACME_TOKEN"):
        look_up("acme", VARIABLES)
    with pytest.raises(
        ConfigError, match=r"the environment variable ACME_API_KEY is not set: set ACME_API_KEY, or pass"
    ):
        look_up("acme", VARIABLES[:1])


def test_a_value_that_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable and shows nothing of its value."""
    monkeypatch.setenv("ACME_API_KEY", "sk-hidden\nX")
    with pytest.raises(ConfigError, match=r"^ACME_API_KEY: .*control character") as caught:
        look_up("acme", VARIABLES)

    assert "sk-hidden" not in "".join(traceback.format_exception(caught.value))


def test_the_keystore_says_that_it_is_not_there() -> None:
    """It names the variables to set instead."""
    with pytest.raises(
        ConfigError, match="keystore is not part of this version yet: set ACME_API_KEY or ACME_TOKEN instead"
    ):
        from_keystore("acme", VARIABLES)


@pytest.mark.parametrize(
    ("value", "expected"), [("http://h", "http://h"), (" http://h ", "http://h"), ("", None), (" ", None)]
)
def test_the_address(value: str, expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address is taken from its variable, where there is one and it is not blank."""
    monkeypatch.setenv("ACME_BASE_URL", value)

    assert (expected, None, None) == (
        base_url_from_environment("ACME_BASE_URL"),
        base_url_from_environment("ACME_OTHER"),
        base_url_from_environment(None),
    )
