alambic_fuzz(safetensors alambic_formats)
alambic_fuzz(jsonl alambic_data)
alambic_fuzz(csv alambic_data)
alambic_fuzz(signals alambic_data)
