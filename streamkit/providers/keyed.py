"""KeyedProvider: a provider that is an address, a key and a codec; nearly all of them are.

A subclass is a row of facts: its name, the variables its key and address are looked up in, its own address, its codec.
It knows nothing of the wire, and keeps no state between requests.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from streamkit import keys
from streamkit import lazy_attrs as attrs
from streamkit.codec import Capabilities, Codec, Key, Model
from streamkit.errors import ConfigError, StreamKitError, printable
from streamkit.types.secret import Secret

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["KeyedProvider", "checked_base_url", "checked_key"]

_log = logging.getLogger("streamkit")

_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
"""What may stand in an address for one of a provider's settings."""


@attrs.frozen(init=False, auto_attribs=False, repr=False, eq=False, slots=False)
class KeyedProvider:
    """Whom one calls. Immutable; share it between any number of threads.

    Its repr shows name and address, never the key. Pickled, it travels without its key, which is looked up anew where
    it arrives.
    """

    name: str = attrs.field()
    """Its name in errors and metadata; a subclass has it as a class attribute."""
    base_url: str = attrs.field()
    """Its address, without a trailing slash."""
    _key: Secret | Callable[[], str] | None = attrs.field()

    key_variables: tuple[str, ...] = ()
    """The environment variables that may hold its key, the first one set wins."""
    needs_key: bool = True
    """Whether there must be a key. A server that may do without is sent one only where one is given or found."""
    base_url_variable: str | None = None
    """The environment variable that may hold its address."""
    default_base_url: str = ""
    """Its own address. What stands in it in braces is one of the `settings`."""
    settings: Mapping[str, str] = {}
    """The environment variables of what its own address is made of, by name; the names are arguments of the class."""
    usual_model: str = ""
    """The model that the command line asks where none is named."""

    def __init__(self, api_key: Key | None = None, *, base_url: str | None = None, **settings: str) -> None:
        """Take the key and the address, each looked up where it is not given.

        Args:
            api_key: the key, or a function that gives the current one, asked once a request; without it, looked up as
                by `auto`.
            base_url: the address as the provider's own SDK takes it; without it, that of the environment, else the
                provider's own.
            settings: what the provider's own address is made of, such as an account's id: see the class's `settings`.
                Without them, those of the environment.

        Raises:
            ConfigError: there is no key, no address, or they cannot be such.
        """
        try:
            key = checked_key(api_key) if api_key is not None else self._looked_up()
            self.__attrs_init__(name=self.name, base_url=checked_base_url(self._address(base_url, settings)), key=key)
        finally:
            del api_key  # crash reporters print the variables of the frames that an error passed through
            settings.clear()  # one of them may be the key under a wrong name

    def _looked_up(self) -> Secret | None:
        if self.needs_key:
            return keys.look_up(self.name, self.key_variables)
        return keys.from_environment(self.key_variables)

    def _address(self, base_url: str | None, settings: Mapping[str, str]) -> str:
        """What is given counts, then the environment's address, then the provider's own."""
        for name in settings.keys() - self.settings.keys():
            known = ", ".join(["api_key", "base_url", *self.settings])
            raise ConfigError(f"{self.name} takes no {printable(name, 100)}: it takes {known}")
        if base_url is not None and settings:
            raise ConfigError(f"{self.name} takes base_url or {', '.join(settings)}, not both")
        if base_url is None and not settings:
            base_url = keys.base_url_from_environment(self.base_url_variable)
        if base_url is not None:
            return base_url
        if not self.default_base_url:
            raise ConfigError(f"{self.name} has no address of its own: give it as base_url, with its /v1 if it has one")
        return self.default_base_url.format_map({name: self._setting(name, settings) for name in self.settings})

    def _setting(self, name: str, given: Mapping[str, str]) -> str:
        """A part of the address, given or from the environment, also where a host has its scheme with it."""
        variable = self.settings[name]
        value = given.get(name) or keys.base_url_from_environment(variable)
        if not value:
            raise ConfigError(f"{self.name} not configured: no {name} was given, and {variable} is not set: set one")
        part = str(value).strip().removeprefix("https://").rstrip("/")
        if not _PART.fullmatch(part):  # with a slash or an @ in it, it could send the key to another host
            raise ConfigError(
                f"{self.name}: {printable(repr(value), 100)} cannot be the {name} in its address: "
                "check it, or give the whole address as base_url"
            )
        return part

    @classmethod
    def from_env(cls) -> Self:
        """Make one with the environment's key and, where set, address; `ConfigError` names the key's variable."""
        key = keys.from_environment(cls.key_variables)
        if key is None and cls.needs_key:
            raise ConfigError(f"{cls.name} not configured: set {' or '.join(cls.key_variables)} to its key")
        return cls(key)

    @classmethod
    def from_keystore(cls) -> Self:
        """Make one with the keystore's key, `ConfigError` where it has none; the address is the environment's."""
        return cls(keys.from_keystore(cls.name, cls.key_variables))

    @classmethod
    def auto(cls) -> Self:
        """Make one with the keystore's key, else the environment's; `ConfigError` names both where neither has one."""
        return cls()

    @property
    def codec(self) -> Codec:
        """Its wire format. A subclass has it as a class attribute, or makes it of its other facts."""
        raise NotImplementedError

    @property
    def capabilities(self) -> Capabilities:
        """What its API can do."""
        return self.codec.capabilities

    @property
    def identity(self) -> object:
        """What two providers of a class have in common that are the same: address and key."""
        return (tuple(self._facts().items()), self._key)

    def secret(self) -> Secret | None:
        """Give the key to send, None where none is needed. Calls the function that was given for it, which may block.

        Raises:
            ConfigError: the function failed, or gave no key.
        """
        if not callable(self._key):
            return self._key
        try:
            key = Secret(self._key())
        except StreamKitError:
            raise
        except Exception as e:
            raise ConfigError(f"{self.name}: the api_key function failed: {printable(repr(e), 300)}") from e
        if not key:
            raise ConfigError(f"{self.name}: the api_key function gave an empty key")
        return key

    def model(self, name: str) -> Model:
        """Give one of its models, for `stream_text` and its kin."""
        return Model(name=name, provider=self)

    def __repr__(self) -> str:
        # One that was refused half made is still in the frames of its error, and crash reporters print it.
        return f"{type(self).__name__}(name={self.name!r}, base_url={getattr(self, 'base_url', '')!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self._facts())

    def _facts(self) -> Mapping[str, Any]:
        """What its class is called with, but for the key, to make another one of it elsewhere."""
        return {"base_url": self.base_url}


def checked_key(key: Key) -> Secret | Callable[[], str]:
    """Give a key that does not print itself, or the function that will give it; `ConfigError` for what is no key."""
    if callable(key):
        return key
    try:
        secret = Secret(key)
    finally:
        del key  # crash reporters print the variables of the frames that an error passed through
    if not secret:
        raise ConfigError("the api_key is empty: give a key, or leave it out to have it looked up")
    return secret


def checked_base_url(url: object) -> str:
    """Give an address without trailing slashes and user-info; `ConfigError` for what cannot be one.

    User-info would replace the key on its way (requests makes an Authorization header of it), so it is taken out, and
    logged.
    """
    if not isinstance(url, str):
        raise ConfigError(f"base_url must be a str, not {type(url).__name__}")
    parts = _split(url.strip())
    host = parts.netloc.rpartition("@")[2]
    if host != parts.netloc:
        _log.warning(
            "the user name and password in base_url are left out (host %s): give the key as api_key",
            printable(host, 200),
        )
    shown = printable(urlunsplit((parts.scheme, host, parts.path, "", "")), 200)
    if parts.query or parts.fragment or url.rstrip().endswith(("?", "#")):
        raise ConfigError(
            f"base_url {shown} must have no query and no fragment: use provider_options or headers instead"
        )
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port  # raises where it is none
    except ValueError:
        raise ConfigError("base_url cannot be read: check its host and port") from None
    if parts.scheme not in ("http", "https"):
        raise ConfigError(f"base_url must begin with https:// or http://, not {printable(url.partition(':')[0], 40)!r}")
    if not parts.hostname or port == 0:
        raise ConfigError("base_url names no host: it should look like https://api.example.com/v1")
    if "\\" in url or any(c <= " " or c == "\x7f" for c in url):
        raise ConfigError(
            "base_url contains a space, a backslash or a control character: check where it was pasted from"
        )
    return parts


def _rebuild(cls: type[KeyedProvider], facts: Mapping[str, Any]) -> KeyedProvider:
    return cls(**facts)
