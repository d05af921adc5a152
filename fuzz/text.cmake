alambic_fuzz(tokenizer alambic_text)
alambic_fuzz(chat_template alambic_text)
