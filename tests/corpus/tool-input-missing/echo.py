from promptflow.core import tool


@tool
def echo(text: str, times: int) -> str:
    return text * times
