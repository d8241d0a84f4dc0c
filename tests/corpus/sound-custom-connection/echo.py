from promptflow.connections import CustomStrongTypeConnection
from promptflow.contracts.types import Secret
from promptflow.core import tool


class Shelf(CustomStrongTypeConnection):
    place: str
    key: Secret


@tool
def echo(text: str, store: Shelf) -> str:
    return text
