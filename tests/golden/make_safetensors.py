"""Records tests/golden/small.safetensors with the reference writer of the format.

Run: python3 tests/golden/make_safetensors.py   (needs the PyPI packages numpy and safetensors >= 0.8)
"""

from oracle import HERE, need

need("numpy", "safetensors")
import numpy as np  # noqa: E402
from safetensors import TensorSpec, serialize  # noqa: E402

ARRAYS = {
    "layers.0.weight": ("float32", (np.arange(6, dtype=np.float32) - 2.5).reshape(2, 3)),
    "half": ("float16", np.array([[1.0, -2.0], [65504.0, 2.0**-24]], dtype=np.float16)),
    "brain": ("bfloat16", np.array([0x3F80, 0xC049, 0x0001], dtype=np.uint16)),  # 1, -3.140625, 2^-133
    "scalar": ("int64", np.array(-7, dtype=np.int64)),
}
specs = {
    name: TensorSpec(dtype=dtype, shape=a.shape, data_ptr=a.ctypes.data, data_len=a.nbytes)
    for name, (dtype, a) in ARRAYS.items()
}
(HERE / "small.safetensors").write_bytes(bytes(serialize(specs, metadata={"format": "pt"})))
