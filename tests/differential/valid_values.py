"""For each field of the table in `gateway.core.fields`, values as clients may spell them.

Each is right for some release that has the field, and small enough for a quick answer.
"""

FLAGS = ["true", "false", "true", "1", "0", '"true"', '"false"']
_ONE_OR_MORE = ["1", "2", "3", "2.0", "3e0", "10e-1", '"2"']
_COUNTS = [*_ONE_OR_MORE, "0", "-0", "0.0"]
_SHARES = ["0", "0.5", "5e-1", "0.50", "1", "1.0", "-0.0", '"0.25"', "25E-2"]
_TOKENS = ["1", "5", "8", "8.0", "1.2e1", '"6"', "7"]
_FINITE = [*_SHARES, "-1", "-2.0", "1e0", "0.1e+1", "1e-300"]
_TOOL = (
    '{"type": "function", "function": {"name": "get_weather", "description": "\\u2600 or '
    '\\"rain\\"", "parameters": {"type": "object", "properties": {"city": {"type": "string"}, '
    '"days": {"type": "integer", "minimum": 1e0}}, "required": ["city"]}}}'
)
_CALLED = (
    '[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1",'
    '"type":"function","function":{"name":"get_weather","arguments":"{\\"a\\":1.0}"}}]},'
    '{"role":"tool","tool_call_id":"c1","content":"12"}]'
)
_PLAIN_TOOL = '{"function":{"name":"plain","strict":null}}'

SHARED = {
    "frequency_penalty": _FINITE,
    "presence_penalty": _FINITE,
    "logit_bias": ['{"5": 1}', '{"17":-1.0e1,"4":0.0}', "{}"],
    "max_tokens": _TOKENS,
    "n": ["1", "1.0", "2", "3"],
    "best_of": ["1", "2", "3.0"],
    "seed": ["1", "-7", "0", "12e2", "9223372036854775807", "18446744073709551615", '"3"'],
    "stop": ['"e"', '["e", "\\u0069"]', '" the"', "[]", '[".", "zzz"]', '""'],
    "stream": ["true", "true", "false", "1"],
    "stream_options": [
        '{"include_usage": true}',
        '{"include_usage":true}',
        "{}",
        '{"include_usage":false}',
        '{"include_usage":null}',
        '{"include_usage":1,"continuous_usage_stats":true}',
        '{"continuous_usage_stats" : true}',
        '{"continuous_usage_stats":true, "include_usage":false}',
        '{"continuous_usage_stats":null}',
    ],
    "temperature": ["0", "0.0", "1", "0.7", "1e0", "-0", "1.5", '"0.5"'],
    "top_p": ["1", "0.9", "9e-1", "1.0", '"0.5"', "1e-5"],
    "user": ['"me"', '"\\ud83d\\ude00"'],
    "response_format": [
        '{"type":"text"}',
        '{"type": "json_object"}',
        '{"type":"json","schema":{"type":"object","properties":{"a":{"type":"integer"}}}}',
        '{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object"}}}',
        '{"type":"structural_tag","structures":[],"triggers":[]}',
        '{"type":"regex","regex":"a+"}',
    ],
    "echo": FLAGS,
    "use_beam_search": FLAGS,
    "top_k": [*_COUNTS, "50"],
    "top_p_min": _SHARES,
    "min_p": _SHARES,
    "repetition_penalty": ["1", "1.0", "1.1", "11e-1", "1e0", '"1.2"'],
    "length_penalty": _FINITE,
    "early_stopping": FLAGS,
    "stop_token_ids": ["[]", "[5, 6]", "[300,301 , 302]", "[13.0]"],
    "include_stop_str_in_output": FLAGS,
    "ignore_eos": FLAGS,
    "min_tokens": _COUNTS,
    "skip_special_tokens": FLAGS,
    "spaces_between_special_tokens": FLAGS,
    "truncate_prompt_tokens": _ONE_OR_MORE,
    "add_special_tokens": FLAGS,
    "detokenize": FLAGS,
    "prompt_ignore_length": _COUNTS,
    "lora_request": ['{"lora_name":"a","lora_int_id":1}'],
    "disaggregated_params": ['{"request_type":"context_and_generation"}'],
    "priority": _SHARES,
    "conversation_params": ['{"conversation_id":"c"}'],
    "thinking_token_budget": _COUNTS,
    "store": FLAGS,
    "metadata": ['{"a":"b"}', "{}"],
    "service_tier": ['"auto"'],
    "safety_identifier": ['"x"'],
    "prompt_cache_key": ['"k"'],
    "prompt_cache_retention": ['"24h"'],
    "prediction": ['{"type":"content","content":"x"}'],
}
COMPLETIONS = {
    **SHARED,
    "max_completion_tokens": _TOKENS,
    "logprobs": ["0", "1", "3", "2.0", "5e0", '"2"'],
    "suffix": ['""', '"."'],
    "return_context_logits": FLAGS,
    "prompt": [
        '"Tell me a story"',
        '"T\\u00e9ll \\n\\t\\/me \\ud83d\\ude00"',
        '"漢字 and é"',
        '["One"]',
        '["One", "Two" ,"three\\""]',
        "[11, 22,33]",
        "[ 1 ]",
        "[[11,22], [33] ]",
        "[5.0, 6]",
    ],
}
CHAT = {
    **SHARED,
    "max_completion_tokens": _TOKENS,
    "logprobs": ["true", "false", "1", "0"],
    "top_logprobs": ["0", "1", "3", "2.0"],
    "prompt_token_ids": ["[11, 22,33]", "[ 7 ]", "[7.0,8]"],
    "prompt_token_ids_b64": ['"AQAAAA=="'],
    "tools": [f"[{_TOOL}]", f"[{_TOOL}, {_PLAIN_TOOL}]", "[]"],
    "tool_choice": [
        '"none"',
        '"auto"',
        '"required"',
        '{"type":"function","function":{"name":"get_weather"}}',
        '{"function":{"name":"get_weather"}}',
    ],
    "parallel_tool_calls": FLAGS,
    "reasoning_effort": ['"low"', '"medium"', '"high"', '"max"'],
    "add_generation_prompt": FLAGS,
    "documents": ['[{"title":"t","text":"x"}]', "[]"],
    "chat_template": ['"{{ messages }}"'],
    "chat_template_kwargs": ['{"enable_thinking": false}', "{}"],
    "cache_salt": ['"pepper"'],
    "agent_hierarchy": ['["a"]'],
    "mm_processor_kwargs": ['{"num_frames": 3}'],
    "media_io_kwargs": ['{"video": {"num_frames": 3}}'],
    "thinking": ['{"type":"enabled"}', '{"type":"disabled"}'],
    "verbosity": ['"low"'],
    "modalities": ['["text"]'],
    "audio": ['{"voice":"x"}'],
    "web_search_options": ["{}"],
    "functions": ["[]"],
    "function_call": ['"auto"'],
    "messages": [
        '[{"role":"user","content":"Tell me of the weather"}]',
        '[{"role": "system", "content": "B\\u0065 brief"}, {"role":"user","content":"Hi 漢"}]',
        '[{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"role":"user"}]',
        '[{"role":"user","content":"a"},{"role":"assistant","content":"Yes, it "}]',
        _CALLED,
        '[{"role":"user","content":"a","extra":1.0}]',
        '[{"role":"user","content":"a","name":"me"}]',
    ],
}
TABLES = {"completions": COMPLETIONS, "chat": CHAT}
"""By operation, all fields but ``model``."""
WRONG = [
    ("foo", "1"),
    ("enable_thinking", "false"),
    ("max_tokens", '"many"'),
    ("max_tokens", "1.5"),
    ("temperature", "-1"),
    ("temperature", "[]"),
    ("top_p", "1.5"),
    ("top_k", "-1"),
    ("n", "null "),
    ("stop", "1"),
    ("stop", "[1]"),
    ("stream", '"maybe"'),
    ("stream_options", '"x"'),
    ("response_format", '{"type":"poem"}'),
    ("response_format", "{}"),
    ("logit_bias", "[1]"),
    ("seed", '"x"'),
    ("truncate_prompt_tokens", "0"),
    ("lora_request", '{"lora_name":"a"}'),
    ("disaggregated_params", '{"request_type":"context_only"}'),
    ("prompt", "{}"),
    ("prompt", '["a", 1]'),
    ("messages", '[{"role":"user","content":1}]'),
    ("messages", '[{"role":"user","content":[{"type":"image"}]}]'),
    ("messages", '"hello"'),
    ("tools", '[{"type":"function"}]'),
    ("tool_choice", '{"type":"function","function":{"name":"nowhere"}}'),
    ("reasoning_effort", '"huge"'),
]
"""What no release accepts, or makes sense of; one of it is in some requests.

No limit below 1 is among them: the second such request is the end of a replica of 1.1.
"""
