/* Register-tiled matrix products: the machinery under `product.pxi`, which calls `product`.
 *
 *     C[m, v] = init[m, v] + sum over segments and k of A[m, k] * B[k, v]
 *
 * B is a panel of one to four registers in width, its rows b_row apart. M rows of C are computed at a
 * time: the M x width accumulators stay in registers over the whole sum, each B register is loaded
 * once per tile and row k, each A value is broadcast. The sum runs over n_segments stretches of k,
 * each K long, a_segment and b_segment apart (one stretch for a plain product; one per hidden tile
 * or per time step where the operands are stored in those pieces). All strides count elements.
 *
 * Every C[m, v] is one chain of multiply-adds in the order of k, whatever tile it lies in, so that a
 * sample's result has the same bits in any batch. init, if there is one, starts the chain where
 * init_first says so (a bias has init_row 0), or else comes last: a long sum that is made in parts (init
 * being C) loses less to rounding than one chain.
 *
 * This file is included once for each type with REAL, VEC and NAME(x) defined, and once more where the
 * multiply-adds are to round twice (ROUND_EACH).
 */
#ifndef ROUND_EACH
#  define ROUND_EACH
#endif

/* Rows per tile for a panel of 1, 2, 3 and 4 registers: M * width accumulators, and the B registers. */
#ifndef PYLSTM_TILE_ROWS
#  define PYLSTM_TILE_ROWS
#  if VEC_REGISTERS >= 32
#    define MAX_TILE_ROWS 8
static const int TILE_ROWS[5] = {0, 8, 8, 7, 6};
#  else
#    define MAX_TILE_ROWS 8
static const int TILE_ROWS[5] = {0, 8, 6, 4, 3};
#  endif
#  if defined(__clang__)
#    define UNROLL _Pragma("clang loop unroll(full)")
#  elif defined(__GNUC__)
#    define UNROLL _Pragma("GCC unroll 8")
#  else
#    define UNROLL
#  endif
#endif

/* One tile; M and W are constants where it is inlined, so its loops over them unroll into registers. */
SIMD_INLINE void NAME(tile)(const int M, const int W, ptrdiff_t n_segments, ptrdiff_t K,
                            const REAL *A, ptrdiff_t a_row, ptrdiff_t a_col, ptrdiff_t a_segment,
                            const REAL *B, ptrdiff_t b_row, ptrdiff_t b_segment,
                            const REAL *init, ptrdiff_t init_row, int init_first, REAL *C, ptrdiff_t c_row)
{
    ROUND_EACH
    VEC acc[MAX_TILE_ROWS][4];
    UNROLL for (int m = 0; m < M; m++)
        UNROLL for (int w = 0; w < W; w++) {
            acc[m][w] = (VEC){0};
            if (init_first)
                acc[m][w] = ((const VEC *)(init + m * init_row))[w];
        }

    for (ptrdiff_t segment = 0; segment < n_segments; segment++) {
        const REAL *a = A + segment * a_segment;
        const REAL *b = B + segment * b_segment;
        for (ptrdiff_t k = 0; k < K; k++, a += a_col, b += b_row) {
            VEC panel[4];
            UNROLL for (int w = 0; w < W; w++)
                panel[w] = ((const VEC *)b)[w];
            UNROLL for (int m = 0; m < M; m++)
                UNROLL for (int w = 0; w < W; w++)
                    acc[m][w] += a[m * a_row] * panel[w];
        }
    }

    UNROLL for (int m = 0; m < M; m++)
        UNROLL for (int w = 0; w < W; w++) {
            if (init && !init_first)
                acc[m][w] += ((const VEC *)(init + m * init_row))[w];
            ((VEC *)(C + m * c_row))[w] = acc[m][w];
        }
}

/* The tile for every M up to TILE_ROWS[W]; what lies above it is never asked for. */
#define TILE(M_, W_)                                                                              \
    case M_:                                                                                      \
        if (M_ <= TILE_ROWS[W_])                                                                  \
            NAME(tile)(M_, W_, n_segments, K, A, a_row, a_col, a_segment, B, b_row, b_segment,    \
                       init, init_row, init_first, C, c_row);                                     \
        break;

#define TILES(W_)                                                                                 \
    static void NAME(tile##W_)(ptrdiff_t M, ptrdiff_t n_segments, ptrdiff_t K,                    \
                               const REAL *A, ptrdiff_t a_row, ptrdiff_t a_col,                   \
                               ptrdiff_t a_segment, const REAL *B, ptrdiff_t b_row,               \
                               ptrdiff_t b_segment, const REAL *init, ptrdiff_t init_row,         \
                               int init_first, REAL *C, ptrdiff_t c_row)                          \
    {                                                                                             \
        switch (M) {                                                                              \
            TILE(1, W_) TILE(2, W_) TILE(3, W_) TILE(4, W_)                                       \
            TILE(5, W_) TILE(6, W_) TILE(7, W_) TILE(8, W_)                                       \
        }                                                                                         \
    }

TILES(1)
TILES(2)
TILES(3)
TILES(4)

static void NAME(product)(ptrdiff_t width, ptrdiff_t M, ptrdiff_t n_segments, ptrdiff_t K,
                          const REAL *A, ptrdiff_t a_row, ptrdiff_t a_col, ptrdiff_t a_segment,
                          const REAL *B, ptrdiff_t b_row, ptrdiff_t b_segment,
                          const REAL *init, ptrdiff_t init_row, int init_first, REAL *C, ptrdiff_t c_row)
{
    /* Tiles of nearly equal height: 32 rows in six tiles of 5 and 6 rows, not five of 6 and one of 2. */
    const ptrdiff_t n_tiles = M <= TILE_ROWS[width] ? 1 : (M + TILE_ROWS[width] - 1) / TILE_ROWS[width];
    for (ptrdiff_t tile = 0, start = 0, rows; start < M; tile++, start += rows) {
        rows = n_tiles == 1 ? M : (tile + 1) * M / n_tiles - start;     /* one row does without divisions */
        const REAL *a = A + start * a_row;
        const REAL *from = init ? init + start * init_row : NULL;
        REAL *c = C + start * c_row;
        switch (width) {
            case 1: NAME(tile1)(rows, n_segments, K, a, a_row, a_col, a_segment, B, b_row, b_segment, from, init_row, init_first, c, c_row); break;
            case 2: NAME(tile2)(rows, n_segments, K, a, a_row, a_col, a_segment, B, b_row, b_segment, from, init_row, init_first, c, c_row); break;
            case 3: NAME(tile3)(rows, n_segments, K, a, a_row, a_col, a_segment, B, b_row, b_segment, from, init_row, init_first, c, c_row); break;
            default: NAME(tile4)(rows, n_segments, K, a, a_row, a_col, a_segment, B, b_row, b_segment, from, init_row, init_first, c, c_row); break;
        }
    }
}

#ifndef ONLY_PRODUCT
/* One row of A times all panels of four registers, b_panel, init_panel and c_panel apart. A single row
 * has but four chains of multiply-adds to a panel, too few to hide their latency: two panels at a time.
 * The sums are those of `product`, bit for bit. */
static void NAME(row_product)(ptrdiff_t n_panels, ptrdiff_t K, const REAL *A,
                              const REAL *B, ptrdiff_t b_row, ptrdiff_t b_panel,
                              const REAL *init, ptrdiff_t init_panel, REAL *C, ptrdiff_t c_panel)
{
    ptrdiff_t panel = 0;
    for (; panel + 1 < n_panels; panel += 2) {
        VEC acc[2][4];
        UNROLL for (int p = 0; p < 2; p++)
            UNROLL for (int w = 0; w < 4; w++)
                acc[p][w] = ((const VEC *)(init + (panel + p) * init_panel))[w];
        const REAL *b = B + panel * b_panel;
        for (ptrdiff_t k = 0; k < K; k++, b += b_row)
            UNROLL for (int p = 0; p < 2; p++)
                UNROLL for (int w = 0; w < 4; w++)
                    acc[p][w] += A[k] * ((const VEC *)(b + p * b_panel))[w];
        UNROLL for (int p = 0; p < 2; p++)
            UNROLL for (int w = 0; w < 4; w++)
                ((VEC *)(C + (panel + p) * c_panel))[w] = acc[p][w];
    }
    if (panel < n_panels)
        NAME(tile4)(1, 1, K, A, 0, 1, 0, B + panel * b_panel, b_row, 0, init + panel * init_panel, 0, 1,
                    C + panel * c_panel, 0);
}
#endif

#undef TILE
#undef TILES
