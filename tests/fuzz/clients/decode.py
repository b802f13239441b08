"""Decodes event streams with whichever openai-python is on the path, as its ``Stream`` does.

Reads a JSON list of streams in base 64 from stdin; prints for each its events, and what broke
it.
"""

import json
import sys
from base64 import b64decode

from openai._streaming import SSEDecoder


def told(stream):
    events, broken = [], None
    try:
        for event in SSEDecoder().iter_bytes(iter([stream])):
            if event.data.startswith("[DONE]"):
                break
            data = json.loads(event.data)
            if isinstance(data, dict) and data.get("error"):
                broken = "the stream reports a failure"
                break
            events.append(data)
    except (ValueError, RecursionError) as problem:
        broken = str(problem)
    return {"events": events, "broken": broken}


streams = [b64decode(each) for each in json.load(sys.stdin)]
json.dump([told(stream) for stream in streams], sys.stdout)
