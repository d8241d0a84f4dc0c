from pathlib import Path

from promptflow.core import tool
from ruamel.yaml import YAML

TOPICS = YAML(typ="safe").load(Path(__file__).parent / "topics.yaml")


@tool
def classify(ticket: str) -> dict:
    words = ticket.lower().split()
    scores = {topic: sum(word.strip(".,:!?") in known for word in words) for topic, known in TOPICS.items()}
    topic = max(scores, key=scores.get)
    return {"topic": topic if scores[topic] else "other", "urgent": "urgent" in ticket.lower()}
