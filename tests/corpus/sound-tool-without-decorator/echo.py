from promptflow.core import tool


def plain(text: str) -> str:
    return text


echo = tool(plain)
