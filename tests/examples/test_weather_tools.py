"""The weather in two cities, as a user asks for it."""

from __future__ import annotations

import re

import pytest

from streamkit.testing import ProviderServer, chat_answer
from tests.running import run_example

pytestmark = pytest.mark.slow


def test_it_runs_the_tool_for_both_cities() -> None:
    """Each call and its result are shown, the model is told of both, and its answer follows in the next step."""
    calls = [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Oslo"})]
    with ProviderServer() as server:
        server.reply(chat_answer("I look it up.", tool_calls=calls))
        server.reply(chat_answer("Paris ", "is warmer."))
        code, out, err = run_example("weather_tools.py", "openai", server=server)
        first, second = (request.json() for request in server.requests)
    told = [message["content"] for message in second["messages"] if message["role"] == "tool"]

    assert (0, "") == (code, err)
    assert ["get_weather"] == [each["function"]["name"] for each in first["tools"]]
    assert ['{"city": "Paris", "celsius": 24}', '{"city": "Oslo", "celsius": 17}'] == told
    assert all(f"[answer: {result}]\n" in out for result in told)
    assert '[get_weather {"city":"Paris"}]\n[get_weather {"city":"Oslo"}]\n' in out
    assert out.endswith("Paris is warmer.\n[step 2: stop]\n[2 steps, 2 tool runs, 13 tokens]\n")


def test_one_city_after_the_other() -> None:
    """A model that asks for one at a time, and for a wrong one, takes more steps: five at most."""
    with ProviderServer() as server:
        for city in ("Paris", "Atlantis", "Oslo"):
            server.reply(chat_answer(tool_calls=[("get_weather", {"city": city})]))
        server.reply(chat_answer("Paris is warmer."))
        code, out, err = run_example("weather_tools.py", "openai", server=server)

    assert (0, "") == (code, err)
    assert "[failed: LookupError: no weather station in Atlantis]\n" in out
    assert out.endswith("Paris is warmer.\n[step 4: stop]\n[4 steps, 3 tool runs, 21 tokens]\n")


def test_it_is_honest_about_what_is_made_up() -> None:
    """Where the model calls no tool, the last line says what its answer is worth."""
    with ProviderServer() as server:
        server.reply(chat_answer("Sunny everywhere."))
        code, out, err = run_example("weather_tools.py", "openai", server=server)

    assert (0, "") == (code, err)
    assert out.endswith("[The model called no tool: what it says of the weather is made up.]\n")


@pytest.mark.model
def test_the_small_model_answers() -> None:
    """Without arguments the model on this machine answers, by the tool or not, and the tally says which."""
    code, out, err = run_example("weather_tools.py")
    tally = re.search(r"\n\[([1-5]) steps, (\d+) tool runs, \d+ tokens\]\n", out)

    assert (0, "") == (code, err)
    assert tally is not None
    assert (tally[2] == "0") == ("made up" in out)
