from promptflow.core import tool


@tool
def echo(text: str, extra: bool) -> str:
    return text
