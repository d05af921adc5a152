alambic_fuzz(config alambic_models)
alambic_fuzz(gguf_model alambic_models)
