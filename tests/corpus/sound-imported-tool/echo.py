from promptflow.core import tool

from shout import shout


@tool
def echo(text: str) -> str:
    return shout(text)
