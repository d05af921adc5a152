alambic_fuzz(gguf alambic_formats)
