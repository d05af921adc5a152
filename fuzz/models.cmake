alambic_fuzz(config alambic_models)
