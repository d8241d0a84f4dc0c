from promptflow.core import tool


@tool
def say() -> str:
    return "hello"
