from pathlib import Path

import yaml
from promptflow.core import tool

TOPICS = yaml.safe_load((Path(__file__).parent / "topics.yaml").read_text())


@tool
def classify(ticket: str) -> dict:
    words = ticket.lower().split()
    scores = {topic: sum(word.strip(".,:!?") in known for word in words) for topic, known in TOPICS.items()}
    topic = max(scores, key=scores.get)
    return {"topic": topic if scores[topic] else "other", "urgent": "urgent" in ticket.lower()}
