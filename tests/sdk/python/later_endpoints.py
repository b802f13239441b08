"""Uses `responses` and `embeddings` of the openai-python on the path, strictly checked.

Reads one JSON job from stdin, ``{base_url, embeddings_url, model?, embeddings_model?,
api_key?}``, and prints what each call gave.
"""

import json
import sys

import openai


def main():
    job = json.load(sys.stdin)
    client = openai.OpenAI(
        base_url=job["base_url"],
        api_key=job.get("api_key", "none"),
        max_retries=0,
        timeout=60,
        _strict_response_validation=True,
    )
    embedder = client.with_options(base_url=job["embeddings_url"])
    results = {
        "responses": responses(client, job.get("model", "any")),
        "embeddings": embeddings(embedder, job.get("embeddings_model", "any")),
    }
    json.dump(results, sys.stdout)


def responses(client, model):
    asked = {"model": model, "input": "Once upon a time", "max_output_tokens": 24}
    whole = client.responses.create(**asked)
    fetched = client.responses.retrieve(whole.id)
    following = client.responses.create(
        model=model, input="And then?", previous_response_id=whole.id, max_output_tokens=4
    )
    client.responses.delete(whole.id)
    events = list(client.responses.create(**asked, stream=True))
    with client.responses.stream(**asked) as stream:
        helped = [event.type for event in stream]
        final = stream.get_final_response()
    return {
        "text": whole.output_text,
        "items": [item.type for item in whole.output],
        "status": whole.status,
        "usage": whole.usage and [whole.usage.input_tokens, whole.usage.output_tokens],
        "fetched": fetched.output_text,
        "follows": following.previous_response_id == whole.id,
        "after_delete": raised(lambda: client.responses.retrieve(whole.id)),
        "unknown": raised(
            lambda: client.responses.create(**asked, previous_response_id="resp_x")
        ),
        "types": [event.type for event in events],
        "deltas": "".join(e.delta for e in events if e.type == "response.output_text.delta"),
        "last": events[-1].response.output_text,
        "helped": {"types": helped, "text": final.output_text},
    }


def embeddings(client, model):
    packed = client.embeddings.create(model=model, input=["one", "two"])
    plain = client.embeddings.create(model=model, input="one", encoding_format="float")
    return {
        "length": len(packed.data[0].embedding),
        "same": packed.data[0].embedding == plain.data[0].embedding,
        "indexes": [each.index for each in packed.data],
        "tokens": packed.usage.prompt_tokens == packed.usage.total_tokens > 0,
        "cut": raised(lambda: client.embeddings.create(model=model, input="x", dimensions=8)),
    }


def raised(call):
    try:
        call()
    except openai.APIError as error:
        return [type(error).__name__, getattr(error, "status_code", None)]
    return None


main()
