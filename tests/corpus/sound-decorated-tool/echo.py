import functools

from promptflow.core import tool


def renamed(function):
    @functools.wraps(function)
    def call(words):
        return function(words)

    del call.__wrapped__
    return call


@tool
@renamed
def echo(text: str) -> str:
    return text
