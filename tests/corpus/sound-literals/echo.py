from typing import Optional

from promptflow.core import tool


@tool
def echo(
    text: str, whole: int, number: float, flag: bool, many: list, any: dict, inferred=1, words: str = "", nothing: Optional[int] = None
) -> str:
    return text
