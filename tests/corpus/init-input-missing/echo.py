from promptflow.core import ToolProvider, tool


class Echo(ToolProvider):
    def __init__(self, before: str):
        super().__init__()
        self.before = before

    @tool
    def echo(self, text: str) -> str:
        return self.before + text
