from promptflow.core import tool


@tool
def rank(found: list) -> list:
    return sorted(found)
