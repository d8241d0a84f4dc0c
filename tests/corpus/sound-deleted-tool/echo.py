from promptflow.core import tool


@tool
def echo(text: str) -> str:
    return text


@tool
def shout(text: str) -> str:
    return text.upper()


del shout
