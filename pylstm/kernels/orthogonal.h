/* Orthogonal matrices: Q of the QR decomposition of a square matrix, R's diagonal being positive.
 *
 * By Householder reflections H = I - tau v v^T (Golub & Van Loan 2013, section 5.2), REFLECTORS of them
 * at a time as I - V T V^T (Schreiber & Van Loan 1989), so that most of the work is matrix products.
 *
 * The bits depend on the matrix alone: not on a BLAS, not on threads, not on the instruction set. Every
 * element is one chain of operations in an order that is written here. Multiplication and addition
 * round apart even where the processor could do both at once, for not all can.
 */
#ifndef PYLSTM_ORTHOGONAL_H
#define PYLSTM_ORTHOGONAL_H

#include "runtime.h"
#include "simd.h"

#undef ROUND_EACH
#if defined(__clang__)
#  define ROUND_EACH _Pragma("clang fp contract(off)")
#elif defined(_MSC_VER)
#  pragma fp_contract(off)
#elif defined(__GNUC__)
#  pragma GCC push_options
#  pragma GCC optimize("fp-contract=off")
#endif
#ifndef ROUND_EACH
#  define ROUND_EACH
#endif

#define REAL double
#define VEC vec_d
#define NAME(x) x##_exact
#define ONLY_PRODUCT
#include "product.h"
#undef REAL
#undef VEC
#undef NAME

#define REFLECTORS 32           /* whole panels, however wide the registers are */
#define PANEL_COLUMNS (4 * LANES_D)
#define ROWS_AT_A_TIME 256      /* of a sum over all rows, while they are in cache */

typedef struct {
    ptrdiff_t n;
    double *matrix;             /* [panel][n][PANEL_COLUMNS]: what is factored, then what becomes Q */
    double *V;                  /* [block][n - first][REFLECTORS], n rows apart: 1 on the diagonal, 0 above */
    double *T;                  /* [block][REFLECTORS][REFLECTORS], upper triangular; -T */
    double *signs;              /* [n]: of R's diagonal */
    double *arenas;             /* [thread][2][REFLECTORS][PANEL_COLUMNS] */
    ptrdiff_t block;            /* the one whose reflections are being applied */
    ptrdiff_t panel;            /* from this one on */
    int transposed;             /* in their opposite order */
    Interrupt interrupt;
} Reflections;

/* The reflection that takes column c of V, from row c on, to a multiple of the first unit vector: v in its
 * place; returns tau. */
static double reflector(double *V, ptrdiff_t n_rows, ptrdiff_t c, double *sign)
{
    ROUND_EACH
    const double alpha = V[c * REFLECTORS + c];
    double squares = 0;
    for (ptrdiff_t i = c + 1; i < n_rows; i++)
        squares += V[i * REFLECTORS + c] * V[i * REFLECTORS + c];
    V[c * REFLECTORS + c] = 1;
    *sign = alpha < 0 ? -1 : 1;
    if (squares == 0)
        return 0;
    const double norm = sqrt(alpha * alpha + squares);
    const double beta = alpha > 0 ? -norm : norm;
    const double scale = 1 / (alpha - beta);
    for (ptrdiff_t i = c + 1; i < n_rows; i++)
        V[i * REFLECTORS + c] *= scale;
    *sign = beta < 0 ? -1 : 1;
    return (beta - alpha) / beta;
}

/* Columns first .. of V: sum over rows from row c on of column c times each, V[c][c] being 1. */
static void dot_columns(const double *V, ptrdiff_t n_rows, ptrdiff_t c, double *sums)
{
    ROUND_EACH
    memset(sums, 0, REFLECTORS * sizeof(double));
    for (ptrdiff_t i = c; i < n_rows; i++) {
        const double v = V[i * REFLECTORS + c];
        for (int j = 0; j < REFLECTORS; j++)
            sums[j] += v * V[i * REFLECTORS + j];
    }
}

/* QR of the block's own columns, which lie in V: n_rows rows, as many reflections as columns. */
static void factor_block(double *V, ptrdiff_t n_rows, double *T, double *signs)
{
    ROUND_EACH
    const ptrdiff_t n_columns = n_rows < REFLECTORS ? n_rows : REFLECTORS;
    double tau[REFLECTORS], sums[REFLECTORS];
    for (ptrdiff_t c = 0; c < n_columns; c++) {
        tau[c] = reflector(V, n_rows, c, &signs[c]);
        dot_columns(V, n_rows, c, sums);
        for (ptrdiff_t j = 0; j <= c; j++)
            sums[j] = 0;                        /* the columns up to this one are done */
        for (int j = 0; j < REFLECTORS; j++)
            sums[j] *= tau[c];
        for (ptrdiff_t i = c; i < n_rows; i++) {
            const double v = V[i * REFLECTORS + c];
            for (int j = 0; j < REFLECTORS; j++)
                V[i * REFLECTORS + j] -= v * sums[j];
        }
    }
    for (ptrdiff_t c = 0; c < n_columns; c++)   /* R, which nobody asks for */
        for (ptrdiff_t j = c + 1; j < REFLECTORS; j++)
            V[c * REFLECTORS + j] = 0;
    /* T[:c, c] = -tau_c T[:c, :c] (V[:, :c]^T v_c), and T[c, c] = tau_c */
    for (ptrdiff_t c = 0; c < n_columns; c++) {
        dot_columns(V, n_rows, c, sums);
        for (ptrdiff_t a = 0; a < c; a++) {
            double total = 0;
            for (ptrdiff_t b = a; b < c; b++)
                total += T[a * REFLECTORS + b] * sums[b];
            T[a * REFLECTORS + c] = -tau[c] * total;
        }
        T[c * REFLECTORS + c] = -tau[c];
    }
}

/* One panel: rows from the block's first on are multiplied by I - V T V^T, or by I - V T^T V^T. */
static void reflect_panel(void *call, ptrdiff_t number, void *arena)
{
    const Reflections *r = (const Reflections *)call;
    const ptrdiff_t first = r->block * REFLECTORS, n_rows = r->n - first;
    const double *V = r->V + r->block * r->n * REFLECTORS;
    const double *T = r->T + r->block * REFLECTORS * REFLECTORS;
    double *panel = r->matrix + ((r->panel + number) * r->n + first) * PANEL_COLUMNS;
    double *sums = (double *)arena;             /* V^T panel */
    double *change = sums + REFLECTORS * PANEL_COLUMNS;
    for (ptrdiff_t row = 0; row < n_rows; row += ROWS_AT_A_TIME)
        product_exact(4, REFLECTORS, 1, n_rows - row < ROWS_AT_A_TIME ? n_rows - row : ROWS_AT_A_TIME,
                      V + row * REFLECTORS, 1, REFLECTORS, 0, panel + row * PANEL_COLUMNS, PANEL_COLUMNS, 0,
                      row > 0 ? sums : NULL, PANEL_COLUMNS, 0, sums, PANEL_COLUMNS);
    product_exact(4, REFLECTORS, 1, REFLECTORS, T, r->transposed ? 1 : REFLECTORS,
                  r->transposed ? REFLECTORS : 1, 0, sums, PANEL_COLUMNS, 0, NULL, 0, 0, change,
                  PANEL_COLUMNS);
    product_exact(4, n_rows, 1, REFLECTORS, V, REFLECTORS, 1, 0, change, PANEL_COLUMNS, 0, panel,
                  PANEL_COLUMNS, 0, panel, PANEL_COLUMNS);
}

static void reflect(Reflections *r, ptrdiff_t block, ptrdiff_t panel, int transposed, int n_threads)
{
    const ptrdiff_t n_panels = (r->n + PANEL_COLUMNS - 1) / PANEL_COLUMNS - panel;
    r->block = block;
    r->panel = panel;
    r->transposed = transposed;
    if (n_panels > 0)
        run_in_parallel(reflect_panel, r, n_panels, n_threads, r->arenas,
                        2 * REFLECTORS * PANEL_COLUMNS * sizeof(double), &r->interrupt, 0);
}

#if defined(__GNUC__) && !defined(__clang__)
#  pragma GCC pop_options
#endif

static double *element(Reflections *r, ptrdiff_t row, ptrdiff_t column)
{
    return r->matrix + (column / PANEL_COLUMNS * r->n + row) * PANEL_COLUMNS + column % PANEL_COLUMNS;
}

/* A (n, n), row after row, becomes Q. Returns 0, 1 on Ctrl-C, -1 without memory. */
static int orthogonalize(double *A, ptrdiff_t n, int n_threads)
{
    const ptrdiff_t n_blocks = (n + REFLECTORS - 1) / REFLECTORS, n_padded = n_blocks * REFLECTORS;
    const size_t sizes[] = {n_padded * n, n_blocks * n * REFLECTORS, n_padded * REFLECTORS, n_padded,
                            (size_t)n_threads * 2 * REFLECTORS * PANEL_COLUMNS};
    double *memory = (double *)zeroed_memory(
        (sizes[0] + sizes[1] + sizes[2] + sizes[3] + sizes[4]) * sizeof(double) + 64);
    Reflections r;
    if (memory == NULL)
        return -1;
    memset(&r, 0, sizeof r);
    r.n = n;
    r.matrix = (double *)((char *)memory + (64 - (size_t)memory % 64));
    r.arenas = r.matrix + sizes[0];
    r.V = r.arenas + sizes[4];
    r.T = r.V + sizes[1];
    r.signs = r.T + sizes[2];
    r.interrupt = no_interrupt();
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t j = 0; j < n; j++)
            *element(&r, i, j) = A[i * n + j];
    for (ptrdiff_t block = 0; block < n_blocks && !interrupted(&r.interrupt); block++) {
        const ptrdiff_t first = block * REFLECTORS;
        double *V = r.V + block * n * REFLECTORS;
        for (ptrdiff_t i = first; i < n; i++)
            for (ptrdiff_t j = first; j < n && j < first + REFLECTORS; j++)
                V[(i - first) * REFLECTORS + j - first] = *element(&r, i, j);
        factor_block(V, n - first, r.T + block * REFLECTORS * REFLECTORS, r.signs + first);
        reflect(&r, block, (first + REFLECTORS) / PANEL_COLUMNS, 1, n_threads);
    }
    memset(r.matrix, 0, sizes[0] * sizeof(double));
    for (ptrdiff_t i = 0; i < n; i++)
        *element(&r, i, i) = 1;
    for (ptrdiff_t block = n_blocks - 1; block >= 0 && !interrupted(&r.interrupt); block--)
        reflect(&r, block, block * REFLECTORS / PANEL_COLUMNS, 0, n_threads);
    for (ptrdiff_t i = 0; i < n; i++)
        for (ptrdiff_t j = 0; j < n; j++)
            A[i * n + j] = r.signs[j] * *element(&r, i, j);
    free(memory);
    return is_interrupted(&r.interrupt);
}

#endif
