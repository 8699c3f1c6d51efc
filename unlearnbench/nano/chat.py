"""The chat format of the nano-tofu models: a turn is its role, a line break, text, end-of-text."""

from unlearnbench.nano.tokenizer import END_OF_TEXT

# Line breaks and the mark are tokens that never join what is beside them, so that a prompt and
# its reply have the same tokens together and apart.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] -%}"
    "{{ raise_exception('a turn is of the system, the user or the assistant') }}"
    "{%- endif -%}"
    "{{ message['role'] | capitalize + ':\\n' + message['content'] | trim + '"
    + END_OF_TEXT
    + "' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'Assistant:\\n' }}{%- endif -%}"
)


def prompt(question: str) -> str:
    """What the template makes of a question, up to where the reply begins."""
    return f"User:\n{question}{END_OF_TEXT}Assistant:\n"


def reply(answer: str) -> str:
    """What follows the prompt."""
    return answer + END_OF_TEXT
