from promptflow.core import tool


@tool
def page(topic: str) -> str:
    return f"paged whoever is on call for {topic}"
