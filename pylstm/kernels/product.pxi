"""Matrix products on packed panels: the Cython side of `product.h`, where the tile machinery is.

What is multiplied goes through here: a new layout of a matrix gets its product, and the index of its
elements, in this file.
"""

cdef extern from * nogil:
    """
    #include "kernels/simd.h"
    #define REAL float
    #define VEC vec_f
    #define NAME(x) x##_f
    #include "kernels/product.h"
    #undef REAL
    #undef VEC
    #undef NAME
    #define REAL double
    #define VEC vec_d
    #define NAME(x) x##_d
    #include "kernels/product.h"
    #undef REAL
    #undef VEC
    #undef NAME
    """
    const int* TILE_ROWS
    void product_f(
        Py_ssize_t width, Py_ssize_t M, Py_ssize_t n_segments, Py_ssize_t K,
        const float* A, Py_ssize_t a_row, Py_ssize_t a_col, Py_ssize_t a_segment,
        const float* B, Py_ssize_t b_row, Py_ssize_t b_segment,
        const float* init, Py_ssize_t init_row, int init_first, float* C, Py_ssize_t c_row)
    void product_d(
        Py_ssize_t width, Py_ssize_t M, Py_ssize_t n_segments, Py_ssize_t K,
        const double* A, Py_ssize_t a_row, Py_ssize_t a_col, Py_ssize_t a_segment,
        const double* B, Py_ssize_t b_row, Py_ssize_t b_segment,
        const double* init, Py_ssize_t init_row, int init_first, double* C, Py_ssize_t c_row)
    void row_product_f(
        Py_ssize_t n_panels, Py_ssize_t K, const float* A, const float* B, Py_ssize_t b_row,
        Py_ssize_t b_panel, const float* init, Py_ssize_t init_panel, float* C, Py_ssize_t c_panel)
    void row_product_d(
        Py_ssize_t n_panels, Py_ssize_t K, const double* A, const double* B, Py_ssize_t b_row,
        Py_ssize_t b_panel, const double* init, Py_ssize_t init_panel, double* C, Py_ssize_t c_panel)


cdef inline Py_ssize_t padded(Py_ssize_t n, Py_ssize_t unit) noexcept nogil:
    """The next multiple of `unit`."""
    return (n + unit - 1) // unit * unit


# A panel is this many registers wide (the last one of a matrix may be narrower).
cdef enum:
    PANEL = 4


cdef inline Py_ssize_t tile_rows(Py_ssize_t width) noexcept nogil:
    """The rows that `product` takes at a time for a panel of so many registers."""
    return TILE_ROWS[width]


cdef inline void product(
    Py_ssize_t width, Py_ssize_t M, Py_ssize_t n_segments, Py_ssize_t K,
    const real* A, Py_ssize_t a_row, Py_ssize_t a_col, Py_ssize_t a_segment,
    const real* B, Py_ssize_t b_row, Py_ssize_t b_segment,
    const real* init, Py_ssize_t init_row, bint init_first, real* C, Py_ssize_t c_row,
) noexcept nogil:
    """C = init + sum over segments of A B, for one panel of B; init comes first in the sums, or last."""
    if real is float:
        product_f(width, M, n_segments, K, A, a_row, a_col, a_segment, B, b_row, b_segment,
                  init, init_row, init_first, C, c_row)
    else:
        product_d(width, M, n_segments, K, A, a_row, a_col, a_segment, B, b_row, b_segment,
                  init, init_row, init_first, C, c_row)


cdef inline void row_product(
    Py_ssize_t n_panels, Py_ssize_t K, const real* A, const real* B, Py_ssize_t b_row,
    Py_ssize_t b_panel, const real* init, Py_ssize_t init_panel, real* C, Py_ssize_t c_panel,
) noexcept nogil:
    """C = init + A B for a single row A and several panels of B."""
    if real is float:
        row_product_f(n_panels, K, A, B, b_row, b_panel, init, init_panel, C, c_panel)
    else:
        row_product_d(n_panels, K, A, B, b_row, b_panel, init, init_panel, C, c_panel)


cdef void packed_product(
    Py_ssize_t lanes, Py_ssize_t n_registers, Py_ssize_t M, Py_ssize_t K,
    const real* A, Py_ssize_t a_row, const real* B, const real* init, real* C, Py_ssize_t c_row,
) noexcept nogil:
    """Rows of C = init + A B for a whole packed matrix B: [panel][K][width * L]."""
    cdef Py_ssize_t panel, first, width
    for panel in range(padded(n_registers, PANEL) // PANEL):
        first = panel * PANEL
        width = min(PANEL, n_registers - first)
        product(width, M, 1, K, A, a_row, 1, 0, B + first * lanes * K, width * lanes, 0,
                init + first * lanes, 0, True, C + first * lanes, c_row)


cdef inline Py_ssize_t packed_index(
    Py_ssize_t lanes, Py_ssize_t n_registers, Py_ssize_t n_rows, Py_ssize_t row, Py_ssize_t column,
) noexcept nogil:
    """Where element (row, column) of a matrix packed for `packed_product` lies."""
    cdef Py_ssize_t first = column // lanes // PANEL * PANEL
    cdef Py_ssize_t width = min(PANEL, n_registers - first)
    return first * lanes * n_rows + row * width * lanes + column - first * lanes
