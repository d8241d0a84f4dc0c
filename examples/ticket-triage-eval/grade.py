from promptflow.core import tool

from text_matching import normalize


@tool
def grade(topic: str, expected: str) -> str:
    return "correct" if normalize(topic) == normalize(expected) else "wrong"
