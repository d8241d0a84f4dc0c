from promptflow.contracts.multimedia import Image
from promptflow.core import tool


@tool
def ask(text: Image) -> str:
    return "seen"
