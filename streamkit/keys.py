"""Where a provider's key and address come from: what the caller gives, else the keystore, else the environment.

Asked by the provider classes when one is made, never at import. Whoever names a provider names the variables, too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from streamkit.errors import ConfigError
from streamkit.types.secret import Secret

__all__ = ["base_url_from_environment", "from_environment", "from_keystore", "look_up"]


def look_up(name: str, variables: Sequence[str]) -> Secret:
    """Give a provider's key, from the keystore, else from the first of these variables that is set.

    The keystore is no part of this version yet, so it is passed over.

    Raises:
        ConfigError: there is none, or it is no key; the message names each place that was looked in.
    """
    key = from_environment(variables)
    if key is None:
        raise ConfigError(
            f"{name} not configured: no api_key was given, the keystore is not part of this version yet, "
            f"and {_unset(variables)}: set {variables[0]}, or pass api_key=..."
        )
    return key


def from_environment(variables: Sequence[str]) -> Secret | None:
    """Give the key from the first of these variables that is set, or None. A blank one counts as not set.

    Raises:
        ConfigError: its value can be no key; the message names the variable and not the value.
    """
    for variable in variables:
        try:
            key = Secret(os.environ.get(variable, ""))
        except ConfigError as e:
            raise ConfigError(f"{variable}: {e}") from None
        if key:
            return key
    return None


def from_keystore(name: str, variables: Sequence[str]) -> Secret:
    """Give a provider's key from the keystore.

    Raises:
        ConfigError: always; the keystore is no part of this version yet. The message says which variable to set
            instead.
    """
    raise ConfigError(
        f"{name} not configured: the keystore is not part of this version yet: set {' or '.join(variables)} instead"
    )


def base_url_from_environment(variable: str | None) -> str | None:
    """Give the address that this variable holds, or None where it is not set or blank."""
    return (os.environ.get(variable, "").strip() if variable else "") or None


def _unset(variables: Sequence[str]) -> str:
    if len(variables) == 1:
        return f"the environment variable {variables[0]} is not set"
    return f"none of the environment variables {', '.join(variables)} is set"
