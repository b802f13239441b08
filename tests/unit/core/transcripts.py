"""What trtllm-serve of each era puts on the wire, byte by byte, and requests for it."""

from gateway.core.body import cut
from gateway.core.chunks import Identity
from gateway.core.operation import CHAT, COMPLETIONS
from gateway.core.request import parse
from gateway.core.snapshot import Limits

CHAT_1_0 = (
    b'data: {"id":"chatcmpl-46ed406fe648408eb653f18be19322d9","object":"chat.completion.chunk",'
    b'"created":1754294810,"model":"m","choices":[{"index":0,"delta":{"role":"assistant",'
    b'"tool_calls":[]}}]} \n\n'
    b'data: {"id":"chatcmpl-a1","object":"chat.completion.chunk","created":1754294810,'
    b'"model":"m","choices":[{"index":0,"delta":{"content":" the","tool_calls":[]}}]}\n\n'
    b'data: {"id":"chatcmpl-a2","object":"chat.completion.chunk","created":1754294811,'
    b'"model":"m","choices":[{"index":0,"delta":{"content":" end","tool_calls":[]},'
    b'"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"chatcmpl-a3","object":"chat.completion.chunk","created":1754294811,'
    b'"model":"m","choices":[],"usage":{"prompt_tokens":5,"total_tokens":8,'
    b'"completion_tokens":3}}\n\n'
    b"data: [DONE]\n\n"
)
CHAT_1_1 = (
    b'data: {"id":"chatcmpl-46ed406fe648408eb653f18be19322d9","object":"chat.completion.chunk",'
    b'"created":1754294810,"model":"m","choices":[{"index":0,"delta":{"role":"assistant",'
    b'"reasoning_content":"","tool_calls":[]}}]} \n\n'
    b'data: {"id":"chatcmpl-b1","object":"chat.completion.chunk","created":1754294810,'
    b'"model":"m","choices":[{"index":0,"delta":{"content":" the","reasoning_content":"",'
    b'"tool_calls":[]},"avg_decoded_tokens_per_iter":1.0}]}\n\n'
    b'data: {"id":"chatcmpl-b2","object":"chat.completion.chunk","created":1754294810,'
    b'"model":"m","choices":[{"index":0,"delta":{"content":" end","reasoning_content":"",'
    b'"tool_calls":[]},"finish_reason":"stop","avg_decoded_tokens_per_iter":1.0}]}\n\n'
    b'data: {"id":"chatcmpl-b3","object":"chat.completion.chunk","created":1754294810,'
    b'"model":"m","choices":[],"usage":{"prompt_tokens":5,"total_tokens":8,'
    b'"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":0}}}\n\n'
    b"data: [DONE]\n\n"
)
CHAT_MAIN = (
    b'data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1754294810,'
    b'"model":"m","choices":[{"index":0,"delta":{"role":"assistant"}}]} \n\n'
    b'data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1754294810,'
    b'"model":"m","choices":[{"index":0,"delta":{"content":" the","reasoning_content":""},'
    b'"avg_decoded_tokens_per_iter":1.0}]}\n\n'
    b'data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1754294810,'
    b'"model":"m","choices":[{"index":0,"delta":{"content":" end","reasoning_content":""},'
    b'"avg_decoded_tokens_per_iter":1.0}]}\n\n'
    b'data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1754294810,'
    b'"model":"m","choices":[{"index":0,"delta":{"content":"","reasoning_content":""},'
    b'"finish_reason":"stop","avg_decoded_tokens_per_iter":1.0}]}\n\n'
    b'data: {"id":"chatcmpl-7","object":"chat.completion.chunk","created":1754294810,'
    b'"model":"m","choices":[],"usage":{"prompt_tokens":5,"total_tokens":8,'
    b'"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":0}}}\n\n'
    b"data: [DONE]\n\n"
)
CHATS = {"1.0": CHAT_1_0, "1.1": CHAT_1_1, "main": CHAT_MAIN}
COMPLETION = (
    b'data: {"id":"cmpl-1","object":"text_completion","created":1754294810,"model":"m",'
    b'"choices":[{"index":0,"text":" New","token_ids":null,"logprobs":null,'
    b'"finish_reason":null,"stop_reason":null,"avg_decoded_tokens_per_iter":1.0}],'
    b'"usage":null}\n\n'
    b'data: {"id":"cmpl-2","object":"text_completion","created":1754294810,"model":"m",'
    b'"choices":[{"index":0,"text":" York","token_ids":null,"logprobs":null,'
    b'"finish_reason":"length","stop_reason":null,"avg_decoded_tokens_per_iter":1.0}],'
    b'"usage":null}\n\n'
    b'data: {"id":"chatcmpl-3","object":"chat.completion.chunk","created":1754294810,'
    b'"model":"m","choices":[],"usage":{"prompt_tokens":6,"total_tokens":8,'
    b'"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":0}}}\n\n'
    b"data: [DONE]\n\n"
)
WHOLE_1_0 = (
    b'{"id":"cmpl-bc1393d529ce485c961d9ffee5b25d72","object":"text_completion",'
    b'"created":1753843963,"model":"nvidia/Llama-3.3-70B-Instruct-FP8","choices":[{"index":0,'
    b'"text":" New York is","token_ids":null,"logprobs":null,"context_logits":null,'
    b'"finish_reason":"length","stop_reason":null,"disaggregated_params":null}],'
    b'"usage":{"prompt_tokens":6,"total_tokens":22,"completion_tokens":16},'
    b'"prompt_token_ids":null}'
)
WHOLE_CHAT_1_2 = (
    b'{"id":"chatcmpl-5907","object":"chat.completion","created":1764866686,'
    b'"model":"nvidia/Kimi-K2-Thinking-NVFP4","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"yes","reasoning_content":"","reasoning":null,'
    b'"tool_calls":[]},"logprobs":null,"finish_reason":"length","stop_reason":null,'
    b'"mm_embedding_handle":null,"disaggregated_params":null,'
    b'"avg_decoded_tokens_per_iter":1.0}],"usage":{"prompt_tokens":12,"total_tokens":140,'
    b'"completion_tokens":128,"prompt_tokens_details":{"cached_tokens":0}},'
    b'"prompt_token_ids":null}'
)


def request(body, *, operation=COMPLETIONS, limits=None, scopes=None, cache_salt=None):
    limits = limits or Limits()
    sent = cut(body, depth=limits.depth)
    return parse(operation, sent, limits, scopes=scopes, cache_salt=cache_salt)


def completion(more=b""):
    return request(b'{"model":"m","prompt":"p"%b}' % more)


def chat(more=b""):
    return request(
        b'{"model":"m","messages":[{"role":"user","content":"p"}]%b}' % more, operation=CHAT
    )


def identity(operation=COMPLETIONS, *, stream=True, model="alias"):
    return Identity(operation, stream=stream, answer_id="id-1", created=7, model=model)
