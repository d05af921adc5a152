"""The weights of a Hugging Face directory as arrays of 32-bit floats, opened by the reference reader of safetensors."""

import numpy as np
import safetensors

KINDS = {"F32": np.float32, "F16": np.float16, "I64": np.int64}


def read_file(path):
    read = {}
    for name, tensor in safetensors.deserialize(path.read_bytes()):
        data = bytes(tensor["data"])
        if tensor["dtype"] == "BF16":
            values = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(data, KINDS[tensor["dtype"]])
        read[name] = values.reshape(tensor["shape"]).astype(np.float32)
    return read


def read_weights(directory):
    read = {}
    for path in sorted(directory.glob("*.safetensors")):
        read |= read_file(path)
    return read
