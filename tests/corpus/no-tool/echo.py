from promptflow.core import tool


def echo(text: str) -> str:
    return text
