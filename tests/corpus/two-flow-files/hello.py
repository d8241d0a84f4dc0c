def hello(name: str) -> str:
    return name
