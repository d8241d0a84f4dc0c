from helper import *  # noqa: F403
