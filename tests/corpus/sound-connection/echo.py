from typing import Union

from promptflow.connections import AzureOpenAIConnection, CustomConnection, OpenAIConnection
from promptflow.core import tool


@tool
def echo(text: str, store: CustomConnection, model: Union[AzureOpenAIConnection, OpenAIConnection]) -> str:
    return text
