from promptflow.core import tool


@tool
def echo(text: str, extra: int) -> str:
    return text
