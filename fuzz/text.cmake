alambic_fuzz(tokenizer alambic_text)
