from promptflow.core import tool


@tool
def echo(**inputs) -> str:
    return inputs["text"]
