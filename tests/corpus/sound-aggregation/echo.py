from promptflow.core import tool


@tool
def echo(text: object) -> object:
    return text
