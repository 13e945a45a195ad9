"""Arrow columns of ragged arrays: flat lists, made from NumPy arrays in one go."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def large_lists(arrays: Sequence[np.ndarray | None], kind: pa.LargeListType) -> pa.Array:
    """A column of flat lists of numbers as in `kind`; None becomes null.

    >>> large_lists([np.eye(2), None], pa.large_list(pa.float32())).to_pylist()
    [[1.0, 0.0, 0.0, 1.0], None]
    """
    dtype = kind.value_type.to_pandas_dtype()
    flat = [np.empty(0, dtype) if array is None else array.ravel().astype(dtype, copy=False) for array in arrays]
    offsets = np.zeros(len(flat) + 1, dtype=np.int64)
    np.cumsum([len(array) for array in flat], out=offsets[1:])
    values = pa.array(np.concatenate([np.empty(0, dtype), *flat]))
    mask = pa.array([array is None for array in arrays], pa.bool_())
    return pa.LargeListArray.from_arrays(pa.array(offsets), values, type=kind, mask=mask)
