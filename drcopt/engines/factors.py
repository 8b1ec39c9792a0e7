"""Cholesky factors of the matrix of Newton's equations in the potentials, diag − KKᵀ + root rootᵀ.

Blocks of letters decouple when the coupling becomes sparse; the last term fixes the gauge f → f + const.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError
from scipy.linalg.blas import dsyr, dsyrk, ssyr, ssyrk
from scipy.linalg.lapack import dpotrf, dpotrs, spotrf, spotrs

from drcopt.support.check import FloatArray

#: From so many letters on factors in single precision pay, while their least diagonal entry is no less than this.
_LARGE, _WELL = 256, 0.01


def cholesky(K: FloatArray, diagonal: FloatArray, root: FloatArray) -> FloatArray:
    """The lower one, with the least shift that works."""
    for shift in (1e-15, 1e-13, 1e-11, 1e-9):
        H = dsyrk(-1.0, K.T, trans=1, lower=1)
        H = dsyr(1.0, root, a=H, lower=1, overwrite_a=1)
        H.T.flat[:: len(H) + 1] += diagonal + shift
        factor, failed = dpotrf(H, lower=1, clean=0, overwrite_a=1)  # what lies above the diagonal is not read
        if not failed:
            return np.asarray(factor)
    raise LinAlgError("the Newton matrix is not positive definite")


def rough_cholesky(K: FloatArray, diagonal: FloatArray, root: FloatArray) -> np.ndarray | None:
    """The same in single precision, for half the work; None where letters are few or the matrix is nearly singular.

    Newton's steps need not be exact, as what they lead to is measured in double precision.
    """
    if len(K) < _LARGE:
        return None
    with np.errstate(over="ignore"):
        single, diagonal = K.astype(np.float32), diagonal.astype(np.float32)
    H = ssyrk(-1.0, single.T, trans=1, lower=1)
    H = ssyr(1.0, root, a=H, lower=1, overwrite_a=1)
    H.T.flat[:: len(H) + 1] += diagonal
    factor, failed = spotrf(H, lower=1, clean=0, overwrite_a=1)
    if failed or not factor.diagonal().min() >= _WELL:
        return None
    return np.asarray(factor)


def backsolved(factor: np.ndarray, right: FloatArray) -> FloatArray:
    """What the matrix of this factor takes to ``right``."""
    solve = dpotrs if factor.dtype == np.float64 else spotrs
    return np.asarray(solve(factor, right, lower=1)[0], dtype=np.float64)
