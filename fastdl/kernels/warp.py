"""Sample images at any places: rotation, shear, scale, elastic deformation, all as one bilinear resampling.

Maths     out[n, c, o, p] = sum over the four pixels (i, j) around (gy, gx) = grid[n, o, p] of
          (1 - |gy - i|) (1 - |gx - j|) x[n, c, i, j]; the centre of pixel (i, j) is at (i, j), pixels outside count 0.
Shapes    x (N, C, H, W) and grid (N, OH, OW, 2), its last axis (row, column), both float32 or both float64;
          result (N, C, OH, OW), channels-last in memory.
Backward  none: it serves augmentation, which is not differentiated.
Cost      8 N C OH OW FLOPs and about 20 N OH OW for the weights; 4 (x + out + grid) bytes.
Errors    ValueError for shapes that do not fit, TypeError for other dtypes.
Notes     A place that is not a number, or more than a pixel outside, gives 0.
"""

from fastdl.kernels._memory import contiguous, empty_channels_last, plain
from fastdl.kernels._registry import implementation
from fastdl.kernels._shapes import need_ndim, same_float_dtype


def warp_forward(x, grid):
    """x sampled at the places of grid; see the top of this file."""
    need_ndim("warp", "x", x, 4, "(N, C, H, W)")
    need_ndim("warp", "grid", grid, 4, "(N, OH, OW, 2)")
    dtype = same_float_dtype("warp", x=x, grid=grid)
    if grid.shape[0] != x.shape[0] or grid.shape[3] != 2:
        raise ValueError(f"warp: x {x.shape} needs a grid of shape ({x.shape[0]}, OH, OW, 2); got {grid.shape}")
    out = empty_channels_last(*x.shape[:2], *grid.shape[1:3], dtype)
    implementation("warp", dtype).forward(plain(x), contiguous(grid), out)
    return out


def warp_cost(x, grid):
    """(FLOPs, bytes) of one call."""
    places = grid.size // 2
    return places * (8 * x.shape[1] + 20), x.nbytes + grid.nbytes + places * x.shape[1] * x.itemsize
