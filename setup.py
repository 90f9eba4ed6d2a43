"""Extension modules of pylstm; everything else is declared in pyproject.toml.

`pylstm/_core.pyx`, with the files of `pylstm/kernels` in it, is compiled once for the baseline of
the platform and, on x86-64, once more for each instruction set worth having; `pylstm/_dispatch.py`
picks one at import. OpenMP is used if a small program with it compiles and links; without it the
package works, on one thread.
"""

import os
import platform
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

INCLUDED = [str(path) for path in sorted(Path("pylstm", "kernels").iterdir())]

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "cdivision": True,
}

# Only what the kernels need of -ffast-math: no errno and no traps from sqrt and comparisons. NaN
# and infinity keep their meaning.
GCC_FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-g0"]
MSVC_FLAGS = ["/O2"]

# Module name -> flags of GCC and clang.
BASELINE = "pylstm._core"
X86_VARIANTS = {
    "pylstm._core_avx2": ["-mavx2", "-mfma"],
    "pylstm._core_avx512": [
        "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma",
        "-mprefer-vector-width=512",
    ],
}  # fmt: skip

OPENMP_PROGRAM = """
#include <omp.h>
int main(void)
{
    int threads = 0;
    #pragma omp parallel reduction(+ : threads)
    threads += 1;
    return threads > omp_get_max_threads();
}
"""


def modules():
    """Extension for the baseline and each variant, from the one source."""
    variants = {BASELINE: []}
    is_x86_64 = platform.machine().lower() in ("x86_64", "amd64") and sys.maxsize > 2**32
    if is_x86_64 and sys.platform != "win32" and "PYLSTM_BASELINE_ONLY" not in os.environ:
        variants |= X86_VARIANTS
    extensions = []
    for name, flags in variants.items():
        extension = Extension(name, ["pylstm/_core.pyx"], depends=INCLUDED, include_dirs=["pylstm"])
        # A C file of its own for each module: the generated code carries the module's name.
        (extension,) = cythonize(
            [extension],
            build_dir=f"build/cython/{name}",
            compiler_directives=DIRECTIVES,
        )
        extension.instruction_set_flags = flags
        extensions.append(extension)
    return extensions


class BuildExtensions(build_ext):
    """Adds the flags that depend on the compiler, which is known only now."""

    def build_extensions(self):
        is_msvc = self.compiler.compiler_type == "msvc"
        openmp_flags = self._openmp_flags(is_msvc)
        if openmp_flags is None:
            self.announce("pylstm: no OpenMP in this compiler; it will run on one thread", level=3)
            openmp_flags = ([], [])
        for extension in self.extensions:
            extension.extra_compile_args += MSVC_FLAGS if is_msvc else GCC_FLAGS
            extension.extra_compile_args += extension.instruction_set_flags + openmp_flags[0]
            extension.extra_link_args += openmp_flags[1]
        self.parallel = self.parallel or os.cpu_count()
        super().build_extensions()

    def _openmp_flags(self, is_msvc):
        """(compiler's, linker's) flags under which a program with OpenMP builds, or None."""
        if is_msvc:
            candidates = [(["/openmp"], [])]
        elif sys.platform == "darwin":
            candidates = [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])]
        else:
            candidates = [(["-fopenmp"], ["-fopenmp"])]
        for compile_flags, link_flags in candidates:
            with tempfile.TemporaryDirectory() as folder:
                source = Path(folder, "openmp.c")
                source.write_text(OPENMP_PROGRAM)
                try:
                    objects = self.compiler.compile(
                        [str(source)], output_dir=folder, extra_postargs=compile_flags
                    )
                    self.compiler.link_executable(
                        objects, "openmp", output_dir=folder, extra_postargs=link_flags
                    )
                except Exception:  # every compiler class has errors of its own
                    continue
                return compile_flags, link_flags
        return None


setup(ext_modules=modules(), cmdclass={"build_ext": BuildExtensions})
