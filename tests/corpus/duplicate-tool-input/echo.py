from promptflow.core import ToolProvider, tool


class Echo(ToolProvider):
    def __init__(self, text: str):
        super().__init__()
        self.text = text

    @tool
    def echo(self, text: str) -> str:
        return self.text + text
