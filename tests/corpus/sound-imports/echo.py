import json
from enum import Enum
from typing import Optional

from promptflow.core import tool
from words import clean


class Mood(str, Enum):
    FRIENDLY = "friendly"
    CURT = "curt"


@tool
def echo(text: str, mood: Mood = Mood.FRIENDLY, times: Optional[int] = None, *, quiet: bool = False, **rest) -> str:
    return json.dumps([clean(text), mood, times, quiet, rest])
