from promptflow.connections import CustomConnection
from promptflow.core import tool


@tool
def echo(text: str, service: CustomConnection) -> str:
    return text
