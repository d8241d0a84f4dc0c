from promptflow.contracts.types import AssistantDefinition
from promptflow.core import tool


@tool
def ask(text: str, assistant: AssistantDefinition) -> str:
    return text
