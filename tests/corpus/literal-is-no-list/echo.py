from promptflow.core import tool


@tool
def echo(text: str, extra: list) -> str:
    return text
