"""The parts of ``speed.py``: the text, the systems that are timed, what they use, and how it is shown."""
