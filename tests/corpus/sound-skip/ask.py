from promptflow.core import tool


@tool
def ask(text: str) -> str:
    return text
