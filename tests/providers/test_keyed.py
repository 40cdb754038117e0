"""The provider classes: key and address checked early, held safely, looked up where they are not given."""

from __future__ import annotations

import copy
import logging
import pickle
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from streamkit.codec import Provider
from streamkit.errors import ConfigError, StreamKitError
from streamkit.providers import Anthropic, AzureOpenAI, OpenAI, OpenAICompatible
from streamkit.providers.keyed import KeyedProvider
from streamkit.types import ChatRequest, Secret, user

KEY = "sk-test-0123456789"
BOTH = pytest.mark.parametrize("make", [OpenAI, Anthropic])
REQUEST = ChatRequest(model="m", messages=(user("Hi"),))


@BOTH
def test_a_provider_as_the_machinery_sees_it(make: type[KeyedProvider]) -> None:
    """It is a `Provider`: name, address, codec, key, and models of it."""
    provider: Provider = make(KEY)
    model = provider.model("m")

    assert (make.__name__.lower(), make.default_base_url) == (provider.name, provider.base_url)
    assert KEY == (provider.secret() or Secret("")).expose()
    assert ("m", provider) == (model.name, model.provider)
    assert provider.base_url in provider.codec.encode(REQUEST, provider).url


@BOTH
def test_key_and_address_from_the_environment(make: type[KeyedProvider], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without arguments both are looked up; `auto` and `from_env` do the same."""
    monkeypatch.setenv(f"{make.__name__.upper()}_API_KEY", KEY)
    monkeypatch.setenv(f"{make.__name__.upper()}_BASE_URL", "http://127.0.0.1:1/v9/")
    made = [make(), make.auto(), make.from_env()]

    assert [(KEY, "http://127.0.0.1:1/v9")] * 3 == [(key(p), p.base_url) for p in made]


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given is not looked up."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://other")
    provider = OpenAI(KEY, base_url="http://this")

    assert (KEY, "http://this") == (key(provider), provider.base_url)


@BOTH
@pytest.mark.parametrize("way", ["__call__", "auto", "from_env", "from_keystore"])
def test_no_key(make: type[KeyedProvider], way: str) -> None:
    """Whichever way a key was looked for, the error names the provider and the variable to set."""
    name = make.__name__.lower()
    with pytest.raises(ConfigError, match=f"^{name} not configured: .*{name.upper()}_API_KEY"):
        make() if way == "__call__" else getattr(make, way)()


def key(provider: Provider) -> str:
    """The key that a provider sends."""
    secret = provider.secret()
    assert secret is not None
    return secret.expose()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("sk-\nx", "control"),
        ("sk-世", "header"),
        (5, "int"),
        (b"k", "bytes"),
        (["k"], "list"),
    ],
)
def test_what_is_no_key(given: Any, says: str) -> None:
    """What no header can carry is refused when the provider is made, without showing it."""
    with pytest.raises(ConfigError, match=says):
        OpenAI(given)
    with pytest.raises(ConfigError, match=says):
        OpenAICompatible(given, base_url="http://h")


def test_no_frame_of_a_refusal_holds_the_key() -> None:
    """Crash reporters print the variables of the frames that an error passed through: none of ours has the key."""
    for make in (OpenAI, lambda given: OpenAICompatible(given, base_url="http://h")):
        with pytest.raises(ConfigError) as caught:
            make("sk-hidden" + "\n" + "x")
        frames = [f for f in _frames(caught.value.__traceback__) if "test_keyed" not in f.f_code.co_filename]

        assert frames
        assert [] == [f.f_code.co_name for f in frames if "sk-hidden" in repr(f.f_locals)]


def _frames(at: types.TracebackType | None) -> Iterator[types.FrameType]:
    while at is not None:
        yield at.tb_frame
        at = at.tb_next


@pytest.mark.parametrize("make", [OpenAI, AzureOpenAI, lambda **given: OpenAICompatible(base_url="http://h", **given)])
def test_no_frame_holds_a_key_under_a_wrong_name(make: Callable[..., object]) -> None:
    """Neither does one that holds what was given under a name that no class takes."""
    with pytest.raises(ConfigError, match="takes no apikey") as caught:
        make(api_key=KEY, apikey="sk-hidden")
    frames = [f for f in _frames(caught.value.__traceback__) if "test_keyed" not in f.f_code.co_filename]

    assert frames
    assert [] == [f.f_code.co_name for f in frames if "sk-hidden" in repr(f.f_locals)]


def test_a_function_gives_the_key_of_each_request() -> None:
    """It is asked once a request, never before."""
    asked: list[str] = []

    def current() -> str:
        asked.append("sk")
        return f"sk-{len(asked)}"

    provider = OpenAI(current)
    before = list(asked)
    sent = [provider.codec.encode(REQUEST, provider).secrets["Authorization"].expose() for _ in range(2)]

    assert ([], ["Bearer sk-1", "Bearer sk-2"]) == (before, sent)


def _fails() -> str:
    raise OSError("vault is shut")


def _fails_as_ours() -> str:
    raise StreamKitError("mine")


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda: "", "empty"),
        (lambda: None, "NoneType"),
        (lambda: "a\nb", "control"),
        (_fails, "openai: the api_key function failed: .*vault is shut"),
        (_fails_as_ours, "mine"),
    ],
)
def test_a_function_that_gives_no_key(function: Callable[[], Any], says: str) -> None:
    """Whatever it does instead is an error of ours."""
    with pytest.raises(StreamKitError, match=says):
        OpenAI(function).secret()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://h", "https://h"),
        ("https://h/", "https://h"),
        ("https://h/v1//", "https://h/v1"),
        (" HTTPS://h:8443/v1 ", "https://h:8443/v1"),
        ("http://127.0.0.1:8080/a%20b/v1", "http://127.0.0.1:8080/a%20b/v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
    ],
)
def test_addresses(url: str, expected: str) -> None:
    """An address is kept as it is, but for slashes at its end."""
    assert expected == OpenAI(KEY, base_url=url).base_url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "https://"),
        ("api.example.com/v1", "https://"),
        ("ftp://h", "ftp"),
        ("file:///etc/passwd", "file"),
        ("localhost:8080", "localhost"),
        ("https://", "no host"),
        ("https:///v1", "no host"),
        ("https://:8080", "no host"),
        ("https://h:0", "no host"),
        ("https://h:x", "cannot be read"),
        ("https://h:99999", "cannot be read"),
        ("https://[::1", "cannot be read"),
        ("https://h/v1?a=b", "no query"),
        ("https://h/v1?", "no query"),
        ("https://h/v1#x", "no fragment"),
        ("https://h/v1#", "no fragment"),
        ("https://h\\@evil.example/v1", "backslash"),
        ("https://a b/v1", "space"),
        ("https://h/v1\n/x", "control"),
        (5, "int"),
        (None, "give it as base_url"),
    ],
)
def test_what_is_no_address(url: Any, says: str) -> None:
    """It is refused when the provider is made."""
    with pytest.raises(ConfigError, match=says):
        OpenAICompatible(KEY, base_url=url)


def test_user_info_is_taken_out_of_the_address(caplog: pytest.LogCaptureFixture) -> None:
    """It would replace the key on its way; the log says so without showing it."""
    with caplog.at_level(logging.WARNING, "streamkit"):
        provider = OpenAI(KEY, base_url="https://me:pa%20ss@h:1/v1")

    assert ("https://h:1/v1", KEY) == (provider.base_url, key(provider))
    assert "api_key" in caplog.text
    assert "me" not in caplog.text.partition("host")[2]
    assert "pa%20ss" not in caplog.text


def test_an_address_with_two_faults_shows_no_password() -> None:
    """The error of an address with user-info and a query has neither in it."""
    with pytest.raises(ConfigError) as caught:
        OpenAI(KEY, base_url="https://me:secret@h/v1?token=secret")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "provider", [OpenAI(KEY), Anthropic(KEY), OpenAICompatible(KEY, base_url="http://h/v1", name="mine")]
)
def test_the_key_is_nowhere_to_be_seen(provider: KeyedProvider) -> None:
    """Repr and str show name and address; the instance, as anything may print it, has no key either."""
    shown = f"{provider!r} {provider} {vars(provider)!r} {provider.model('m')!r}"

    assert KEY not in shown
    assert f"{type(provider).__name__}(name={provider.name!r}, base_url={provider.base_url!r})" == repr(provider)


def test_it_cannot_be_changed() -> None:
    """So it can be shared between threads."""
    provider = OpenAI(KEY)
    for name in ("base_url", "name", "_key", "new"):
        with pytest.raises(AttributeError):
            setattr(provider, name, "x")

    assert (provider, provider) == (copy.copy(provider), copy.deepcopy(provider))


def test_pickled_it_leaves_its_key_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key does not travel; it is looked up where the provider arrives, and missed there clearly."""
    data = pickle.dumps(OpenAI(KEY, base_url="http://h/v1"))

    assert KEY.encode() not in data
    with pytest.raises(ConfigError, match="openai not configured"):
        pickle.loads(data)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-there")
    arrived = pickle.loads(data)
    assert (OpenAI, "http://h/v1", "sk-there") == (type(arrived), arrived.base_url, key(arrived))


def test_a_compatible_server() -> None:
    """It has the name it is given and needs no key; nothing is looked up for it, pickled it is the same."""
    provider = OpenAICompatible(base_url="http://h/v1", name="mine")
    arrived = pickle.loads(pickle.dumps(provider))

    assert ("mine", "http://h/v1", None) == (provider.name, provider.base_url, provider.secret())
    assert ("mine", "http://h/v1", None) == (arrived.name, arrived.base_url, arrived.secret())
    assert "openai-compatible" == OpenAICompatible(base_url="http://h").name


def test_a_provider_without_a_codec_says_so() -> None:
    """A class of one's own has to name its wire."""
    with pytest.raises(NotImplementedError):
        KeyedProvider.codec.__get__(OpenAI(KEY))


class Regional(KeyedProvider):
    """A row whose address has two parts of one's own."""

    name = "regional"
    key_variables = ("REGIONAL_API_KEY",)
    base_url_variable = "REGIONAL_BASE_URL"
    default_base_url = "https://{region}.api.example.com/{account_id}/v1"
    settings: Mapping[str, str] = {"region": "REGIONAL_REGION", "account_id": "REGIONAL_ACCOUNT_ID"}


class Optional(KeyedProvider):
    """A row of a server that may do without a key."""

    name = "optional"
    needs_key = False
    key_variables = ("OPTIONAL_API_KEY",)
    default_base_url = "http://localhost:1/v1"


def test_parts_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is given counts, then the environment's; a host may come with its scheme."""
    monkeypatch.setenv("REGIONAL_REGION", "https://eu-1/")
    monkeypatch.setenv("REGIONAL_ACCOUNT_ID", "a_1")

    assert "https://eu-1.api.example.com/a_1/v1" == Regional(KEY).base_url
    assert "https://us.api.example.com/a_1/v1" == Regional(KEY, region="us").base_url


def test_a_whole_address_needs_no_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given, or in the environment, it is used as it is; parts that are given come before the environment's address."""
    given = Regional(KEY, base_url="http://h/v1").base_url
    monkeypatch.setenv("REGIONAL_BASE_URL", "http://there/v1")
    found = Regional(KEY).base_url
    parts = Regional(KEY, region="us", account_id="a").base_url

    assert ("http://h/v1", "http://there/v1", "https://us.api.example.com/a/v1") == (given, found, parts)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"region": "eu"}, "regional not configured: no account_id was given, and REGIONAL_ACCOUNT_ID is not set"),
        ({"region": "eu", "acount_id": "a"}, "regional takes no acount_id: it takes api_key, base_url, region"),
        ({"region": "eu", "base_url": "http://h"}, "takes base_url or region, not both"),
        ({"region": "evil.example/x", "account_id": "a"}, "cannot be the region"),
        ({"region": "user@evil.example", "account_id": "a"}, "cannot be the region"),
        ({"region": "evil.example:443", "account_id": "a"}, "cannot be the region"),
        ({"region": "a\nb", "account_id": "a"}, "cannot be the region"),
        ({"region": "-", "account_id": "a"}, "cannot be the region"),
        ({"region": 5, "account_id": "../b"}, "cannot be the account_id"),
    ],
)
def test_what_cannot_be_a_part_of_the_address(settings: dict[str, Any], says: str) -> None:
    """What is missing is named, and nothing is taken that could send the key elsewhere."""
    with pytest.raises(ConfigError, match=says):
        Regional(KEY, **settings)


def test_a_provider_with_parts_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickled, it keeps the address that it had."""
    packed = pickle.dumps(Regional(KEY, region="us", account_id="a"))
    monkeypatch.setenv("REGIONAL_API_KEY", "k-there")

    assert "https://us.api.example.com/a/v1" == pickle.loads(packed).base_url


def test_a_key_that_need_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a server may do without, none is missed, and the one that is set is sent."""
    without = [Optional().secret(), Optional.auto().secret(), Optional.from_env().secret()]
    monkeypatch.setenv("OPTIONAL_API_KEY", KEY)

    assert [None, None, None] == without
    assert [KEY, KEY] == [key(Optional()), key(Optional.from_env())]


def test_a_provider_without_an_address_of_its_own() -> None:
    """It asks for one."""
    with pytest.raises(ConfigError, match="no address of its own: give it as base_url"):
        OpenAICompatible()
