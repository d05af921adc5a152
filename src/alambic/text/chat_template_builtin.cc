#include "alambic/text/chat_template_builtin.h"

#include <array>

namespace alambic {
namespace {

// Message content is a text, nothing, or a list of parts of which the texts count.
constexpr std::string_view kPrelude = R"({#- own wording; see ChatTemplate::builtin -#}
{%- macro text_of(message) -%}
  {%- if message.content is string -%}
    {{- message.content -}}
  {%- elif message.content is iterable -%}
    {%- for part in message.content -%}
      {{- part if part is string else part.text | default('') -}}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
{%- macro unknown_role(message) -%}
  {{- raise_exception('this chat format has no role "' ~ message.role ~ '"') -}}
{%- endmacro -%}
)";

// The formats of Stanford Alpaca and of Databricks Dolly; they differ in what ends an answer.
constexpr std::string_view kAlpaca = R"(
{%- set task = 'Below is an instruction that describes a task. Write a response that appropriately completes the request.' -%}
{%- for message in messages -%}
  {%- if message.role == 'system' -%}
    {%- set task = text_of(message) -%}
    {{- task ~ '\n\n' -}}
  {%- elif message.role == 'user' -%}
    {%- if loop.first -%}
      {{- task ~ '\n\n' -}}
    {%- endif -%}
    {{- '### Instruction:\n' ~ text_of(message) ~ '\n\n' -}}
  {%- elif message.role == 'assistant' -%}
    {{- '### Response:\n' -}}
    {%- generation -%}
      {{- text_of(message) ~ (eos_token | default('</s>')) -}}
    {%- endgeneration -%}
    {{- '' if loop.last else '\n\n' -}}
  {%- else -%}
    {{- unknown_role(message) -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '### Response:\n' -}}
{%- endif -%})";

constexpr std::string_view kDolly = R"(
{%- for message in messages -%}
  {%- if message.role == 'system' -%}
    {{- text_of(message) ~ '\n\n' -}}
  {%- elif message.role == 'user' -%}
    {%- if loop.first -%}
      {{- 'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n' -}}
    {%- endif -%}
    {{- '### Instruction:\n' ~ text_of(message) ~ '\n\n' -}}
  {%- elif message.role == 'assistant' -%}
    {{- '### Response:\n' -}}
    {%- generation -%}
      {{- text_of(message) ~ '\n\n### End' -}}
    {%- endgeneration -%}
    {{- '' if loop.last else '\n\n' -}}
  {%- else -%}
    {{- unknown_role(message) -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '### Response:\n' -}}
{%- endif -%})";

// Tools are listed in the first system turn, calls and results travel as JSON between tags.
constexpr std::string_view kChatml = R"(
{%- set first_system = messages | length > 0 and messages[0].role == 'system' -%}
{%- if tools -%}
  {{- '<|im_start|>system\n' -}}
  {%- if first_system -%}
    {{- text_of(messages[0]) ~ '\n\n' -}}
  {%- elif default_system is defined -%}
    {{- default_system ~ '\n\n' -}}
  {%- endif -%}
  {{- 'You may call these functions, each described as JSON:\n<tools>\n' -}}
  {%- for tool in tools -%}
    {{- tool | tojson ~ '\n' -}}
  {%- endfor -%}
  {{- '</tools>\nTo call one, write its name and arguments as JSON between <tool_call> and </tool_call>.<|im_end|>\n' -}}
{%- elif default_system is defined and not first_system -%}
  {{- '<|im_start|>system\n' ~ default_system ~ '<|im_end|>\n' -}}
{%- endif -%}
{%- for message in messages -%}
  {%- if message.role == 'assistant' -%}
    {{- '<|im_start|>assistant\n' -}}
    {%- generation -%}
      {{- text_of(message) -}}
      {%- for call in message.tool_calls or [] -%}
        {%- set function = call.function if call.function is defined else call -%}
        {{- '\n' if text_of(message) or not loop.first -}}
        {{- '<tool_call>\n{"name": ' ~ function.name | tojson ~ ', "arguments": ' -}}
        {{- function.arguments if function.arguments is string else function.arguments | tojson -}}
        {{- '}\n</tool_call>' -}}
      {%- endfor -%}
      {{- '<|im_end|>' -}}
    {%- endgeneration -%}
    {{- '\n' -}}
  {%- elif message.role == 'tool' -%}
    {{- '<|im_start|>user\n<tool_response>\n' ~ text_of(message) ~ '\n</tool_response><|im_end|>\n' -}}
  {%- elif message.role == 'user' or message.role == 'system' -%}
    {%- if not (tools and loop.first and first_system) -%}
      {{- '<|im_start|>' ~ message.role ~ '\n' ~ text_of(message) ~ '<|im_end|>\n' -}}
    {%- endif -%}
  {%- else -%}
    {{- unknown_role(message) -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|im_start|>assistant\n' -}}
{%- endif -%})";

constexpr std::string_view kGemma = R"(
{{- bos_token | default('<bos>') -}}
{%- set ns = namespace(system='') -%}
{%- for message in messages -%}
  {%- if message.role == 'system' -%}
    {%- set ns.system = text_of(message) ~ '\n\n' -%}
  {%- elif message.role == 'user' -%}
    {{- '<start_of_turn>user\n' ~ ns.system ~ text_of(message) | trim ~ '<end_of_turn>\n' -}}
    {%- set ns.system = '' -%}
  {%- elif message.role == 'assistant' -%}
    {{- '<start_of_turn>model\n' -}}
    {%- generation -%}
      {{- text_of(message) | trim ~ '<end_of_turn>' -}}
    {%- endgeneration -%}
    {{- '\n' -}}
  {%- else -%}
    {{- unknown_role(message) -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<start_of_turn>model\n' -}}
{%- endif -%})";

constexpr std::string_view kLlama2 = R"(
{%- set begin = bos_token | default('<s>') -%}
{%- set end = eos_token | default('</s>') -%}
{%- set ns = namespace(system='') -%}
{%- for message in messages -%}
  {%- if message.role == 'system' -%}
    {%- set ns.system = '<<SYS>>\n' ~ text_of(message) ~ '\n<</SYS>>\n\n' -%}
  {%- elif message.role == 'user' -%}
    {{- begin ~ '[INST] ' ~ ns.system ~ text_of(message) | trim ~ ' [/INST]' -}}
    {%- set ns.system = '' -%}
  {%- elif message.role == 'assistant' -%}
    {%- generation -%}
      {{- ' ' ~ text_of(message) | trim ~ ' ' ~ end -}}
    {%- endgeneration -%}
  {%- else -%}
    {{- unknown_role(message) -}}
  {%- endif -%}
{%- endfor -%})";

constexpr std::string_view kLlama3 = R"(
{{- bos_token | default('<|begin_of_text|>') -}}
{%- for message in messages -%}
  {%- if message.role not in ['system', 'user', 'assistant', 'tool'] -%}
    {{- unknown_role(message) -}}
  {%- endif -%}
  {%- set role = 'ipython' if message.role == 'tool' else message.role -%}
  {{- '<|start_header_id|>' ~ role ~ '<|end_header_id|>\n\n' -}}
  {%- if role == 'assistant' -%}
    {%- generation -%}
      {{- text_of(message) | trim ~ '<|eot_id|>' -}}
    {%- endgeneration -%}
  {%- else -%}
    {{- text_of(message) | trim ~ '<|eot_id|>' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}
{%- endif -%})";

constexpr std::string_view kMistral = R"(
{{- bos_token | default('<s>') -}}
{%- set ns = namespace(system='') -%}
{%- for message in messages -%}
  {%- if message.role == 'system' -%}
    {%- set ns.system = text_of(message) ~ '\n\n' -%}
  {%- elif message.role == 'user' -%}
    {{- '[INST] ' ~ ns.system ~ text_of(message) ~ '[/INST]' -}}
    {%- set ns.system = '' -%}
  {%- elif message.role == 'assistant' -%}
    {%- generation -%}
      {{- ' ' ~ text_of(message) | trim ~ (eos_token | default('</s>')) -}}
    {%- endgeneration -%}
  {%- else -%}
    {{- unknown_role(message) -}}
  {%- endif -%}
{%- endfor -%})";

// <|role|>, a line, the text, and an end that phi3 and zephyr name differently.
constexpr std::string_view kPhi3 = R"(
{%- for message in messages -%}
  {%- if message.role not in ['system', 'user', 'assistant'] -%}
    {{- unknown_role(message) -}}
  {%- endif -%}
  {{- '<|' ~ message.role ~ '|>\n' -}}
  {%- if message.role == 'assistant' -%}
    {%- generation -%}
      {{- text_of(message) ~ '<|end|>' -}}
    {%- endgeneration -%}
  {%- else -%}
    {{- text_of(message) ~ '<|end|>' -}}
  {%- endif -%}
  {{- '\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|assistant|>\n' -}}
{%- endif -%})";

constexpr std::string_view kVicuna = R"(
{%- set ns = namespace(system="A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions.") -%}
{%- for message in messages -%}
  {%- if message.role == 'system' -%}
    {%- set ns.system = text_of(message) -%}
  {%- elif message.role == 'user' -%}
    {%- if ns.system -%}
      {{- ns.system ~ ' ' -}}
      {%- set ns.system = '' -%}
    {%- endif -%}
    {{- 'USER: ' ~ text_of(message) ~ ' ' -}}
  {%- elif message.role == 'assistant' -%}
    {{- 'ASSISTANT:' -}}
    {%- generation -%}
      {{- ' ' ~ text_of(message) ~ (eos_token | default('</s>')) -}}
    {%- endgeneration -%}
  {%- else -%}
    {{- unknown_role(message) -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- 'ASSISTANT:' -}}
{%- endif -%})";

constexpr std::string_view kZephyr = R"(
{%- for message in messages -%}
  {%- if message.role not in ['system', 'user', 'assistant'] -%}
    {{- unknown_role(message) -}}
  {%- endif -%}
  {{- '<|' ~ message.role ~ '|>\n' -}}
  {%- if message.role == 'assistant' -%}
    {%- generation -%}
      {{- text_of(message) ~ (eos_token | default('</s>')) -}}
    {%- endgeneration -%}
  {%- else -%}
    {{- text_of(message) ~ (eos_token | default('</s>')) -}}
  {%- endif -%}
  {{- '\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<|assistant|>\n' -}}
{%- endif -%})";

constexpr std::array<BuiltinTemplate, 11> kBuiltins = {{{"alpaca", kAlpaca},
                                                        {"chatml", kChatml},
                                                        {"dolly", kDolly},
                                                        {"gemma", kGemma},
                                                        {"llama2", kLlama2},
                                                        {"llama3", kLlama3},
                                                        {"mistral", kMistral},
                                                        {"phi3", kPhi3},
                                                        {"qwen2.5", kChatml},
                                                        {"vicuna", kVicuna},
                                                        {"zephyr", kZephyr}}};

// What Qwen 2.5 is told where a conversation has no system turn.
constexpr std::string_view kQwenSystem =
    "{%- set default_system = 'You are Qwen, created by Alibaba Cloud. "
    "You are a helpful assistant.' -%}\n";

}  // namespace

std::span<const BuiltinTemplate> builtin_templates() { return kBuiltins; }

std::string builtin_source(const BuiltinTemplate& builtin) {
  std::string source(kPrelude);
  if (builtin.name == "qwen2.5") source += kQwenSystem;
  source += builtin.body;
  return source;
}

}  // namespace alambic
