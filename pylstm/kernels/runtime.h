/* What the kernels ask of the process they run in: the processor's instruction sets, threads and whether
 * they survived a fork, and Ctrl-C. */
#ifndef PYLSTM_RUNTIME_H
#define PYLSTM_RUNTIME_H

#include <Python.h>
#include <stdlib.h>
#include <time.h>

#ifdef _OPENMP
#  include <omp.h>
#  define COMPILED_WITH_OPENMP 1
#else
#  define COMPILED_WITH_OPENMP 0
static int omp_get_max_threads(void) { return 1; }
static int omp_get_thread_num(void) { return 0; }
#endif

/* Zeroed memory. Large areas in huge pages where the system has them (Linux): touching a fresh area page
 * by page costs more than some training steps, and threads that do so wait for each other. */
#ifdef __linux__
#  include <sys/mman.h>
#endif

static void *zeroed_memory(size_t n_bytes)
{
    char *memory = (char *)calloc(n_bytes, 1);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (memory != NULL && n_bytes >= ((size_t)1 << 22)) {
        const size_t page = 4096, skip = page - (size_t)memory % page;
        madvise(memory + skip, (n_bytes - skip) / page * page, MADV_HUGEPAGE);
    }
#endif
    return memory;
}

/* Names the instruction set this file was compiled for. */
#if defined(PYLSTM_SCALAR) || !(defined(__GNUC__) || defined(__clang__))
#  define COMPILED_FOR "scalar"
#elif defined(__AVX512F__)
#  define COMPILED_FOR "avx512"
#elif defined(__AVX2__)
#  define COMPILED_FOR "avx2"
#elif defined(__aarch64__)
#  define COMPILED_FOR "neon"
#elif defined(__SSE2__)
#  define COMPILED_FOR "sse2"
#else
#  define COMPILED_FOR "generic"
#endif

/* The instruction set level that processor and operating system support: 0 baseline, 1 AVX2 + FMA,
 * 2 AVX-512 (F, DQ, BW, VL). */
static int processor_level(void)
{
#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__))
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 0;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return 2;
    return 1;
#else
    return 0;
#endif
}

/* A process forked from one with threads inherits the OpenMP runtime's memory of a team whose threads do
 * not exist; waiting for them would hang. Whoever made the team (another user of the same runtime, say), a
 * handler sees every fork: unless there was but one thread to fork from, the child runs on one, and so do
 * its own children. */
static int threads_are_lost = 0;

static void lose_threads(void) { threads_are_lost = 1; }

#ifdef _WIN32
static int watch_forks(void) { return 0; }
#else
#  include <pthread.h>
#  include <sys/stat.h>
static int forks_one_thread = 0;

static void before_fork(void)
{
    forks_one_thread = 0;
#  ifdef __linux__
    struct stat tasks;      /* a folder for each thread, and two links to this one */
    forks_one_thread = stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink == 3;
#  endif
}

static void after_fork(void)
{
    if (!forks_one_thread)
        lose_threads();
}

static int watch_forks(void) { return pthread_atfork(before_fork, NULL, after_fork); }
#endif

static int safe_thread_count(int n_threads)
{
    return threads_are_lost ? 1 : n_threads;
}

/* The file of the OpenMP runtime, or NULL where that cannot be told. */
#if defined(_OPENMP) && !defined(_WIN32)
#  include <dlfcn.h>
static const char *openmp_library(void)
{
    Dl_info info;
    return dladdr((void *)(size_t)omp_get_max_threads, &info) ? info.dli_fname : NULL;
}
#else
static const char *openmp_library(void) { return NULL; }
#endif

/* Ctrl-C while the GIL is released. The thread that called from Python asks the interpreter, at most
 * every INTERRUPT_INTERVAL; on KeyboardInterrupt (left set for the caller to raise) it tells the others. */
#define INTERRUPT_INTERVAL 0.05

typedef struct {
    int stop;
    double next_look;
} Interrupt;

static double monotonic_seconds(void)
{
#ifdef _WIN32
    return (double)clock() / CLOCKS_PER_SEC;
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
#endif
}

#if defined(__GNUC__) || defined(__clang__)
#  define READ_FLAG(flag) __atomic_load_n(&(flag), __ATOMIC_RELAXED)
#  define SET_FLAG(flag) __atomic_store_n(&(flag), 1, __ATOMIC_RELAXED)
#else
#  define READ_FLAG(flag) (*(volatile int *)&(flag))
#  define SET_FLAG(flag) (*(volatile int *)&(flag) = 1)
#endif

/* Counts that several threads change; 100 microseconds of sleep. */
#ifdef _WIN32
#  include <windows.h>
typedef volatile LONG Count;
#  define COUNT_DOWN(count) InterlockedDecrement(&(count))
#  define short_sleep() Sleep(1)
#else
typedef ptrdiff_t Count;
#  define COUNT_DOWN(count) __atomic_sub_fetch(&(count), 1, __ATOMIC_RELEASE)
static void short_sleep(void)
{
    const struct timespec duration = {0, 100000};
    nanosleep(&duration, NULL);
}
#endif

static Interrupt no_interrupt(void)
{
    Interrupt state = {0, monotonic_seconds() + INTERRUPT_INTERVAL};
    return state;
}

static int interrupted(Interrupt *state)
{
    if (omp_get_thread_num() == 0 && !READ_FLAG(state->stop)) {
        const double now = monotonic_seconds();
        if (now >= state->next_look) {
            PyGILState_STATE gil = PyGILState_Ensure();
            if (PyErr_CheckSignals() != 0)
                SET_FLAG(state->stop);
            PyGILState_Release(gil);
            state->next_look = now + INTERRUPT_INTERVAL;
        }
    }
    return READ_FLAG(state->stop);
}

static int is_interrupted(const Interrupt *state)
{
    return READ_FLAG(state->stop);
}

/* Tasks 0 .. n_tasks on several threads, each task with the arena of the thread that takes it. */
typedef void (*Task)(void *call, ptrdiff_t number, void *arena);

static void run_in_parallel(Task task, void *call, ptrdiff_t n_tasks, int n_threads, void *arenas,
                            size_t arena_bytes, Interrupt *interrupt, int are_long)
{
    Count left = (Count)n_tasks;
#ifdef _OPENMP
#  pragma omp parallel num_threads(n_threads)
#endif
    {
        ptrdiff_t number;
#ifdef _OPENMP
#  pragma omp for schedule(dynamic) nowait
#endif
        for (number = 0; number < n_tasks; number++) {
            task(call, number, (char *)arenas + omp_get_thread_num() * arena_bytes);
            if (are_long)
                COUNT_DOWN(left);
        }
        /* The thread that may ask for Ctrl-C would not do so while it waits at the region's end. */
        if (are_long && omp_get_thread_num() == 0)
            while (READ_FLAG(left) > 0) {
                interrupted(interrupt);
                short_sleep();
            }
    }
}

#endif
