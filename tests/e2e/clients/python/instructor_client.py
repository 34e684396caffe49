"""instructor around the openai SDK, in the modes people use: forced tools, JSON schema, JSON."""

from __future__ import annotations

from typing import Any

import instructor
import openai
from common import ABOUT, LOOK, PICTURE, Report, case, caught, main
from pydantic import BaseModel, field_validator


def client(mode: instructor.Mode) -> instructor.Instructor:
    return instructor.from_openai(openai.OpenAI(max_retries=0), mode=mode)


def report(model: str, mode: instructor.Mode, content: Any = ABOUT) -> Report:
    return client(mode).chat.completions.create(
        model=model, messages=[{"role": "user", "content": content}], response_model=Report, max_retries=0
    )


@case
def structured(model: str) -> Any:
    return report(model, instructor.Mode.JSON_SCHEMA).model_dump()


@case
def structured_by_tool(model: str) -> Any:
    """The mode that instructor takes when none is named; it forces the tool."""
    return caught(lambda: report(model, instructor.Mode.TOOLS))


@case
def structured_stream(model: str) -> Any:
    partial = client(instructor.Mode.JSON_SCHEMA).chat.completions.create_partial(
        model=model, messages=[{"role": "user", "content": ABOUT}], response_model=Report
    )
    steps = list(partial)
    assert len(steps) > 1
    return steps[-1].model_dump()


@case
def image(model: str) -> Any:
    """Its own type for pictures, and a reply that it leaves alone."""
    answer = client(instructor.Mode.JSON_SCHEMA).chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": [LOOK, instructor.Image.from_base64(PICTURE)]}],
        response_model=None,
    )
    return {"text": answer.choices[0].message.content}


def picky() -> tuple[type[BaseModel], list[str]]:
    """A model that refuses the first value it gets, and the values it got."""
    seen: list[str] = []

    class Picky(BaseModel):
        city: str

        @field_validator("city")
        @classmethod
        def second_time(cls, value: str) -> str:
            seen.append(value)
            if len(seen) == 1:
                raise ValueError("say it again")
            return value

    return Picky, seen


def ask_again(model: str, mode: instructor.Mode) -> Any:
    """A reply that does not validate goes back with the reason: as a user message, or as the result of the tool."""
    shape, seen = picky()
    client(mode).chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Tell me of Oslo"}], response_model=shape, max_retries=2
    )
    return {"tries": len(seen)}


@case
def asks_again(model: str) -> Any:
    return ask_again(model, instructor.Mode.JSON_SCHEMA)


@case
def asks_again_by_tool(model: str) -> Any:
    return caught(lambda: ask_again(model, instructor.Mode.TOOLS))


@case
def unknown_model(model: str) -> Any:
    return caught(lambda: report(model + "-no", instructor.Mode.JSON_SCHEMA))


main()
