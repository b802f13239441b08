"""Log probabilities in the two shapes of the API: OpenAI's chat list, and the older columns."""

from collections.abc import Sequence

from backends.simulator.text import EOS, detokenize, top_logprobs


def _spell(token: int) -> str:
    return "" if token == EOS else detokenize([token])


def chat_logprobs(
    tokens: Sequence[int], position: int, top: int, *, nulls: bool
) -> dict[str, object]:
    """Describe ``tokens``, the first of which is at ``position`` of its sequence.

    Args:
        tokens: chosen ids.
        position: 0 for the first of the sequence.
        top: alternatives to list for each; 0 lists none.
        nulls: whether an absent list is null (whole replies) or left out (chunks).
    """
    content: list[dict[str, object]] = []
    for at, token in enumerate(tokens, position):
        best = top_logprobs(token, at, max(1, top))
        entry = _entry(token, best[0][1])
        if top:
            entry["top_logprobs"] = [_entry(t, p) for t, p in best]
        elif nulls:
            entry["top_logprobs"] = None
        content.append(entry)
    return {"content": content}


def _entry(token: int, logprob: float) -> dict[str, object]:
    text = _spell(token)
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def completion_logprobs(
    tokens: Sequence[int], position: int, offset: int, top: int, shift: float = 0.0
) -> dict[str, object]:
    """Describe ``tokens`` in columns; ``offset`` is where their text begins.

    ``shift`` is added to the log probability of each.
    """
    offsets, chosen, texts = [], [], []
    tops: list[dict[str, float]] = []
    for at, token in enumerate(tokens, position):
        best = top_logprobs(token, at, max(1, top))
        text = _spell(token)
        offsets.append(offset)
        chosen.append(best[0][1] + shift)
        texts.append(text)
        tops.append({_spell(t): p for t, p in best})
        offset += len(text)
    return {
        "text_offset": offsets,
        "token_logprobs": chosen,
        "tokens": texts,
        "top_logprobs": tops if top else None,
    }
